// Which bytes of a source are to be copied, found by a process that can do no harm
// (docs/decisions/0076-reader-processes.md). However that ends, and whatever it answers, the worst is "all of it".
import { closeSync, existsSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, formatDuration, isErrorCode, UnderstudyError } from '../../base/mod.ts';
import { type GroupLimits, Reader } from '../../sandbox/mod.ts';
import type { LocalView } from './local-view.ts';
import { type ExtentQuestion, READY } from './protocol.ts';
import type { ByteRange } from './ranges.ts';
import { type CopyExtent, type ExtentRequest, resolveExtent } from './resolve.ts';

const LIMITS: GroupLimits = { memoryBytesMax: 2 * 1024 ** 3, tasksMax: 128 };
/** dumpe2fs reads the bitmaps of all groups: some minutes for a large file system on a slow disk. */
const TIMEOUT_MS = 30 * 60_000;
/** A skip is a few dozen characters, and there are not more of them than a bitmap has gaps of a block. */
const ANSWER_CHARS_MAX = 256 * 1024 * 1024;
const WHY_CHARS_MAX = 500;

/** From sources, from what is compiled, from a bundle: as for the reader of identities. */
const PLACES = ['../../../dist/run/isolated/extent.js', '../../../run/isolated/extent.js', '../isolated/extent.js'];
const program = fileURLToPath(
  PLACES.map((path) => new URL(path, import.meta.url)).find((url) => existsSync(url)) ??
    new URL('../isolated/extent.js', import.meta.url),
);

/** As resolveExtent, of which it throws the same. Only what takes a look at the bytes takes a process. */
export async function resolveIsolated(request: ExtentRequest, view: LocalView): Promise<CopyExtent> {
  if (request.kind === 'whole' || request.kind === 'bytes') return resolveExtent(request, view);
  const all = (why: string): CopyExtent => ({ endBytes: view.sizeBytes, skip: [], why: `whole: ${why}` });
  const fd = openSync(view.path, 'r');
  let answer: unknown;
  try {
    answer = await ask(fd, request, view);
  } finally {
    closeSync(fd);
  }
  if (typeof answer === 'string') return all(answer);
  const { extent, failed } = Object(answer) as { extent?: unknown; failed?: unknown };
  if (failed !== undefined) throw failureIn(failed);
  return extentIn(extent, view) ?? all('the process that looked for file systems gave an answer without sense');
}

/**
 * The answer as it was given, or why there is none. @throws TOOL_MISSING; EXTENT_UNSUPPORTED when the sandbox cannot be
 * made
 */
async function ask(fd: number, request: ExtentRequest, view: LocalView): Promise<unknown> {
  const image = { fd, path: view.path, block: null, writable: false };
  const reader = Reader.start({ program, stateFolder: null, images: [image], keepsRoot: false, limits: LIMITS });
  let text = '';
  let why: string | null = null;
  const end = (because: string): void => {
    why ??= because;
    reader.kill();
  };
  reader.child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    if (text.length > ANSWER_CHARS_MAX) end('it said too much');
  });
  let stderr = '';
  reader.child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    stderr = (stderr + piece).slice(0, WHY_CHARS_MAX);
  });
  reader.child.stdin?.on('error', () => {});
  const { images, path } = reader.places;
  const question: ExtentQuestion = { request, view: { ...view, path: images[0] ?? '' }, path };
  reader.child.stdin?.end(JSON.stringify(question));
  const timer = setTimeout(() => end(`it took longer than ${formatDuration(TIMEOUT_MS)}`), TIMEOUT_MS);
  const exceeded = await reader.ended();
  clearTimeout(timer);
  const { exitCode, signalCode } = reader.child;
  const ended =
    exceeded === null ? `it ended with ${signalCode ?? `status ${exitCode}`}` : `it wanted more ${exceeded}`;
  if (!text.startsWith(READY)) {
    const advice = 'understudy doctor says what is missing; copy without --extent, or all of it with --extent whole';
    const reason = stderr.trim() || ended;
    throw new UnderstudyError('EXTENT_UNSUPPORTED', `no sandbox to look for file systems in: ${reason}; ${advice}`);
  }
  try {
    return JSON.parse(text.slice(READY.length));
  } catch {
    return `the process that looks for file systems did not finish: ${why ?? ended}`;
  }
}

function failureIn(failed: unknown): UnderstudyError {
  const { code, message } = Object(failed) as { code?: unknown; message?: unknown };
  const known: ErrorCode = typeof code === 'string' && isErrorCode(code) ? code : 'EXTENT_UNSUPPORTED';
  return new UnderstudyError(
    known,
    typeof message === 'string' ? message.slice(0, WHY_CHARS_MAX) : 'no reason was given',
  );
}

/** Null for what is not an extent of this source. */
function extentIn(extent: unknown, { sizeBytes }: LocalView): CopyExtent | null {
  const { endBytes, skip, why } = Object(extent) as Partial<Record<keyof CopyExtent, unknown>>;
  if (!isCount(endBytes) || endBytes > sizeBytes || !Array.isArray(skip) || typeof why !== 'string') return null;
  const ranges: ByteRange[] = [];
  let behind = -1;
  for (const range of skip) {
    const { offsetBytes, lengthBytes } = Object(range) as Partial<Record<keyof ByteRange, unknown>>;
    if (!isCount(offsetBytes) || !isCount(lengthBytes) || offsetBytes <= behind || lengthBytes === 0) return null;
    behind = offsetBytes + lengthBytes;
    if (behind > endBytes) return null;
    ranges.push({ offsetBytes, lengthBytes });
  }
  return { endBytes, skip: ranges, why: why.slice(0, WHY_CHARS_MAX).replace(/\p{Cc}/gu, ' ') };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
