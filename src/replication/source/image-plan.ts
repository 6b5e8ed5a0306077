// From an image file to the block graph that QEMU is to open: every file in it named, every format said, the whole
// checked before anything is read. docs/decisions/0010 says which files an image may name. Each is opened by us, and
// QEMU opens no name that an image holds.
import { readSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import type { ImageFormat } from './format.ts';
import type { HeldFile, ImageFiles } from './image-files.ts';
import { type BlockNode, graphName, qemuError, runQemu, type ToolObjects } from './qemu.ts';
import { extentsIn } from './vmdk-extents.ts';

export interface ImageOrigin {
  /** What the user called it. */
  readonly uri: string;
  /** How its bytes are reached: the lowest node of the graph. */
  readonly storage: BlockNode;
  /** The file itself, all links followed; null when it is none, and then it may name no other. */
  readonly path: string | null;
  /** The open file that has this path, or had it; absent when there is none. */
  readonly held?: HeldFile | undefined;
  /** Keeps what the image names. */
  readonly files: ImageFiles;
  /** Its length, where there is no path to ask; null where nothing tells. */
  readonly storedBytes: number | null;
  readonly format: ImageFormat | 'raw';
  readonly objects: ToolObjects;
  /** A secret named KEY is among the objects, and opens what is encrypted. */
  readonly hasKey: boolean;
}

/** Name of the secret object with the key of an encrypted image. */
export const KEY = 'key';

export interface ImagePlan {
  readonly graph: BlockNode;
  readonly sizeBytes: number;
  /** It, or a backing file of it, is opened with the key. */
  readonly encrypted: boolean;
}

/** Opening reads a few kilobytes of metadata. */
const OPEN_TIMEOUT_MS = 60_000;
/** A check reads all metadata: 128 MiB for each TiB of a qcow2 with clusters of 64 KiB. */
const CHECK_TIMEOUT_MS = 600_000;
/** Backing files of backing files; more cannot be read at speed, and each keeps descriptors open. */
const CHAIN_MAX = 64;

const BACKING_FORMATS: readonly string[] = ['raw', 'qcow2', 'vmdk', 'vhdx', 'vdi'] satisfies (ImageFormat | 'raw')[];

/**
 * A VHD has two sizes: the one that it names, and that of its geometry, which is less. QEMU goes by the second where it
 * does not know the
 * creator.
 */
const EXACT_SIZE = { force_size_calc: 'current_size' };

interface ImageInfo {
  readonly 'virtual-size': number;
  readonly 'backing-filename'?: string;
  readonly 'backing-filename-format'?: string;
  readonly encrypted?: boolean;
  readonly 'format-specific'?: {
    readonly data?: {
      readonly encrypt?: { readonly format: string };
      readonly 'data-file'?: string;
    };
  };
}

/**
 * @throws SOURCE_CORRUPT (damaged, cut off, not of that format), SOURCE_UNREADABLE (it names a file that it may not, or
 *   that cannot be read), SOURCE_EMPTY, and what its server makes of it
 */
export async function planImage(origin: ImageOrigin): Promise<ImagePlan> {
  const plan = await planLayer(origin, []);
  if (!origin.hasKey || plan.encrypted) return plan;
  throw new UnderstudyError('USAGE', `${origin.uri} is not encrypted; leave --key-file out`);
}

/** So much of a description of extents is read; QEMU's limit is higher, but who writes more hides something. */
const DESCRIPTION_BYTES_MAX = 1024 * 1024;

/** `above` are the files whose backing file, or whose backing file's backing file, this is. */
async function planLayer(origin: ImageOrigin, above: readonly string[]): Promise<ImagePlan> {
  const { format } = origin;
  const storage = storageOf(origin);
  const alone: BlockNode =
    format === 'qcow2' || format === 'vmdk'
      ? { driver: format, file: storage, backing: null }
      : { driver: format, file: storage, ...(format === 'vpc' ? EXACT_SIZE : {}) };
  const info = await describeImage(origin, alone);
  if (info['virtual-size'] === 0) throw new UnderstudyError('SOURCE_EMPTY', `${origin.uri} holds no bytes`);
  const dataFile = dataFileOf(origin, info);
  const own: BlockNode = {
    ...alone,
    ...(dataFile === null ? {} : { 'data-file': { driver: 'file', filename: dataFile.place } }),
    ...(info.encrypted === true ? { encrypt: decryption(origin, info) } : {}),
  };
  await checkImage(origin, own);
  const backing = await planBacking(origin, info, above);
  return {
    graph: backing === null ? own : { ...own, backing: backing.graph },
    sizeBytes: info['virtual-size'],
    encrypted: info.encrypted === true || backing?.encrypted === true,
  };
}

/** @throws SOURCE_UNREADABLE without a key, and for the method of old that QEMU itself advises against */
function decryption(origin: ImageOrigin, info: ImageInfo): { readonly [option: string]: string } {
  const method = info['format-specific']?.data?.encrypt?.format ?? 'unknown';
  if (method !== 'luks') {
    const name = method === 'aes' ? 'the AES method of old qcow2 files' : `the method ${method}`;
    throw unreadable(origin, `it is encrypted by ${name}, which is not read; decrypt it with qemu-img convert`);
  }
  if (!origin.hasKey) throw unreadable(origin, 'it is encrypted (LUKS); --key-file FILE opens it');
  return { format: method, 'key-secret': KEY };
}

async function describeImage(origin: ImageOrigin, node: BlockNode): Promise<ImageInfo> {
  const { uri, objects } = origin;
  const args = ['info', '--output=json', ...objects, graphName(node)];
  const { status, stdout, stderr } = await runQemu({ tool: 'qemu-img', args, timeoutMs: OPEN_TIMEOUT_MS, uri });
  if (status !== 0) throw qemuError(uri, stderr);
  return JSON.parse(stdout) as ImageInfo;
}

/**
 * QEMU reads what lies behind the end of a file as zeros: an image cut off on its way would become a disk full of
 * holes.
 */
async function checkImage(origin: ImageOrigin, node: BlockNode): Promise<void> {
  if (origin.format === 'raw') return;
  if (origin.format === 'vdi' || origin.format === 'vpc') return checkMap(origin, node);
  const { uri, objects } = origin;
  const args = ['check', '--output=json', ...objects, graphName(node)];
  const { status, stdout, stderr } = await runQemu({ tool: 'qemu-img', args, timeoutMs: CHECK_TIMEOUT_MS, uri });
  // qemu-img(1): 0 sound, 3 leaked clusters only (space lost, data sound), 63 a kind of image that has no check.
  if (status === 0 || status === 3 || status === 63) return;
  if (status !== 2) throw qemuError(uri, stderr);
  const found = /"corruptions": (\d+)/.exec(stdout)?.[1] ?? 'some';
  const first = /^ERROR:? .*$/m.exec(stderr)?.[0] ?? '';
  const message = `${uri} is damaged: qemu-img check finds ${found} errors${first === '' ? '' : `, the first: ${first}`}`;
  throw new UnderstudyError('SOURCE_CORRUPT', message);
}

/**
 * The check of vdi compares its tables with each other but not with the length of the file, and vpc has none; their
 * maps tell.
 */
async function checkMap(origin: ImageOrigin, node: BlockNode): Promise<void> {
  const { uri, objects, held } = origin;
  const args = ['map', '--output=json', ...objects, graphName(node)];
  const { status, stdout, stderr } = await runQemu({ tool: 'qemu-img', args, timeoutMs: CHECK_TIMEOUT_MS, uri });
  if (status !== 0) throw qemuError(uri, stderr);
  const sizeBytes = held === undefined ? origin.storedBytes : held.sizeBytes;
  if (sizeBytes === null) return;
  for (const extent of JSON.parse(stdout) as { data: boolean; offset?: number; length: number }[]) {
    if (!extent.data || extent.offset === undefined || extent.offset + extent.length <= sizeBytes) continue;
    throw new UnderstudyError('SOURCE_CORRUPT', `${uri} is cut off: it names bytes after its end at ${sizeBytes}`);
  }
}

async function planBacking(origin: ImageOrigin, info: ImageInfo, above: readonly string[]): Promise<ImagePlan | null> {
  const name = info['backing-filename'];
  if (name === undefined) return null;
  const format = info['backing-filename-format'];
  if (format === undefined) {
    // Probing would let whoever uses a raw backing disk choose its format (see detectFormat).
    throw unreadable(origin, `it does not say the format of its backing file ${name}; qemu-img rebase -u -F adds it`);
  }
  if (!BACKING_FORMATS.includes(format)) throw unreadable(origin, `its backing file ${name} is of format ${format}`);
  const { path, held } = namedFile(origin, name);
  const chain = [...above, origin.path ?? ''];
  if (chain.includes(path)) throw unreadable(origin, `its chain of backing files is a circle: ${name}`);
  if (chain.length > CHAIN_MAX) throw unreadable(origin, `its chain of backing files is longer than ${CHAIN_MAX}`);
  const layer: ImageOrigin = {
    uri: `${origin.uri}, backing file ${name}`,
    storage: { driver: 'file', filename: held.place },
    path,
    held,
    files: origin.files,
    storedBytes: null,
    format: format as ImageFormat | 'raw',
    objects: origin.hasKey ? origin.objects : [],
    hasKey: origin.hasKey,
  };
  return planLayer(layer, chain);
}

function dataFileOf(origin: ImageOrigin, info: ImageInfo): HeldFile | null {
  const name = info['format-specific']?.data?.['data-file'];
  return name === undefined ? null : namedFile(origin, name).held;
}

/**
 * How QEMU reaches the file. A vmdk that is spread over others names them in a text, and there is no other way to say
 * them: then it finds all of them as links in a folder of ours. Flat ones have no table that could tell whether they
 * are whole.
 */
function storageOf(origin: ImageOrigin): BlockNode {
  const { format, path, held, files, uri } = origin;
  if (format !== 'vmdk' || path === null || held === undefined) return origin.storage;
  const extents = extentsIn(startOf(held));
  if (extents === null) {
    const hint = 'make one image of it with qemu-img convert, where it was made';
    throw unreadable(origin, `it names a file that is not in the folder of the image; ${hint}`);
  }
  if (extents.length === 0) return origin.storage;
  const parts = new Map<string, HeldFile>();
  for (const { name, bytesMin } of extents) {
    const part = namedFile(origin, name).held;
    if (bytesMin !== null && part.sizeBytes < bytesMin)
      throw new UnderstudyError('SOURCE_CORRUPT', `${uri}: its extent ${name} is shorter than ${bytesMin} bytes`);
    parts.set(name, part);
  }
  return { driver: 'file', filename: files.asFolder({ path, file: held }, parts) };
}

function startOf({ fd, sizeBytes }: HeldFile): Buffer {
  const bytes = Buffer.alloc(Math.min(sizeBytes, DESCRIPTION_BYTES_MAX));
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
}

/**
 * A file that an image names, which must lie beside the image or below: opened, and judged as what is open. @throws
 * SOURCE_UNREADABLE
 */
function namedFile(origin: ImageOrigin, name: string): { readonly path: string; readonly held: HeldFile } {
  if (origin.path === null) throw unreadable(origin, `it names another file, ${name}`);
  const folder = dirname(origin.path);
  const file = name.startsWith('file:') ? name.slice('file:'.length) : name;
  const path = realPathOf(origin, isAbsolute(file) ? file : resolve(folder, file));
  const held = path.startsWith(join(folder, sep)) ? openNamed(origin, path) : null;
  if (held !== null) return { path, held };
  const hint = 'move it there, or make one image of both with qemu-img convert';
  throw unreadable(origin, `it names ${name}, which is not a file in the folder of the image; ${hint}`);
}

function openNamed(origin: ImageOrigin, path: string): HeldFile | null {
  try {
    return origin.files.hold(path);
  } catch (cause) {
    throw unreadable(origin, `it needs ${path}, which cannot be read: ${errnoOf(cause)}`, cause);
  }
}

function realPathOf(origin: ImageOrigin, path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw unreadable(origin, `it needs ${path}, which cannot be read: ${errnoOf(cause)}`, cause);
  }
}

function unreadable(origin: ImageOrigin, why: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('SOURCE_UNREADABLE', `${origin.uri}: ${why}`, { cause });
}
