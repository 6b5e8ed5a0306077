// From stored bytes to the image in them, layer by layer: compression, container, Android sparse image. What a layer
// holds is
// judged by its first bytes, again and again, until nothing is left to take off.
import { UnderstudyError } from '../../base/mod.ts';
import { readSparseImage } from './android-sparse.ts';
import { ByteReader } from './byte-reader.ts';
import { imageOfStream } from './container.ts';
import { unreadable } from './damage.ts';
import { type Flow, flowOfPieces } from './flow.ts';
import { detectFormat, isCompressed, type SourceFormat } from './format.ts';
import { peek } from './peek.ts';
import type { Run } from './run.ts';
import { SIGNATURE_BYTES } from './signature.ts';
import { tarMembers } from './tar.ts';
import { unreadFormat } from './unread.ts';
import type { Unwrapped } from './unwrapped.ts';
import { zipStreamMembers } from './zip-stream.ts';

/** Bytes from the front of an image that are kept for a look at them. */
export const FIRST_BYTES = 1024 * 1024;
/** Layers on top of each other; three are usual at most (img.gz in a zip). */
const LAYERS_MAX = 5;

export interface UnwrapOptions {
  /** Of the outermost layer, as the user named it; null: looked for. */
  readonly format: SourceFormat | null;
  /** A container in a container is not opened. */
  readonly inContainer: boolean;
  readonly firstBytes: number;
  /** The stored bytes as a descriptor that a first program can read by itself. */
  readonly inherited?: number | null;
  /** Bytes that the first layer of compression holds, where that is known. */
  readonly outerBytes?: number | null;
}

/** @throws SOURCE_CORRUPT, SOURCE_READ_FAILED, SOURCE_TIMEOUT, FORMAT_UNKNOWN (no image, or two), TOOL_MISSING */
export async function unwrap(stored: Flow, run: Run, options: UnwrapOptions): Promise<Unwrapped> {
  let flow = stored;
  let format = options.format ?? detectFormat(flow.first);
  for (let layers = 0; layers < LAYERS_MAX; layers += 1) {
    if (isCompressed(format)) {
      const own = layers === 0 ? (options.inherited ?? null) : null;
      flow = await run.decompress(format, own === null ? flow : { fd: own }, options.firstBytes);
      if (layers === 0) flow = { ...flow, sizeBytes: options.outerBytes ?? null };
    } else if (format === 'android-sparse') flow = await expanded(flow, run, options.firstBytes);
    else if (format === 'tar' || format === 'zip') {
      if (options.inContainer) return { kind: 'container', format, flow };
      // What the image inside is has been looked at there.
      return imageOfStream(membersOf(format, flow, run), { format, run, look: lookInside });
    } else if (format !== 'raw') return { kind: 'image', format, flow };
    else return rawOrUnread(flow, options);
    format = detectFormat(flow.first);
  }
  throw unreadable(run.options.uri, `has more than ${LAYERS_MAX} layers of compression`);
}

/** A member of a container, as far as it takes to see what it is. */
export async function lookInside(flow: Flow, run: Run): Promise<Unwrapped> {
  const peeked = await peek(flow);
  return peeked ?? unwrap(flow, run, { format: null, inContainer: true, firstBytes: SIGNATURE_BYTES });
}

function rawOrUnread(flow: Flow, options: UnwrapOptions): Unwrapped {
  const unread = options.format === 'raw' ? null : unreadFormat(flow.whole ? flow.first : flow.first.subarray(0, 4097));
  return unread === null ? { kind: 'raw', flow } : { kind: 'unread', unread, flow };
}

function membersOf(format: 'tar' | 'zip', flow: Flow, run: Run) {
  const { uri, onWarning } = run.options;
  const reader = new ByteReader(run.pieces(flow));
  return format === 'tar'
    ? tarMembers(reader, { uri, stored: false, onWarning })
    : zipStreamMembers(reader, { uri, onWarning });
}

async function expanded(flow: Flow, run: Run, firstBytes: number): Promise<Flow> {
  const { uri, onWarning } = run.options;
  const image = await readSparseImage(new ByteReader(run.pieces(flow)), uri, onWarning);
  if (image.sizeBytes === 0) throw new UnderstudyError('SOURCE_EMPTY', `${uri} is a sparse image of no bytes`);
  return flowOfPieces(image.bytes, firstBytes, image.sizeBytes);
}
