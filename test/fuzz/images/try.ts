// One image through one command: how it ended, what it took, and whether it kept to itself.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, errorRegistry, isErrorCode } from '../../../src/base/mod.ts';
import { patience } from '../../rig/patience.ts';
import { markedProcesses } from '../../rig/processes.ts';
import { digestOfFile } from '../../support/system-image.ts';
import { holds } from '../fuzz.ts';

/** The command as it is installed. */
export const PROGRAM: readonly string[] = [
  process.execPath,
  fileURLToPath(new URL('../../../dist/run/cli/understudy.js', import.meta.url)),
];

/** A command that needs longer, or more, has no limits. */
const TIME_MS_MAX = patience(120_000);
const MEMORY_BYTES_MAX = 1536 * 1024 * 1024;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const LOOK_MS = 25;

/** Images beyond this have to be as they were by size and time; those below by every byte. */
const DIGEST_BYTES_MAX = 128 * 1024 * 1024;

/** A tree of files that no image may reach, beside the folder that the command may use. */
export class Bystander {
  readonly folder: string;
  /** Its first line is a word that no output may have. */
  readonly secretFile: string;
  readonly secret = `secret-${randomBytes(12).toString('hex')}`;
  readonly #before: string;

  constructor(parent: string) {
    this.folder = join(parent, 'outside');
    mkdirSync(join(this.folder, 'sub'), { recursive: true });
    this.secretFile = join(this.folder, 'secret');
    writeFileSync(this.secretFile, `${this.secret}\n${this.secret.repeat(2000)}\n`, { mode: 0o600 });
    writeFileSync(join(this.folder, 'sub/key'), this.secret);
    this.#before = stateOf(this.folder);
  }

  /** @throws Finding */
  checkUntouched(what: () => string): void {
    holds(stateOf(this.folder) === this.#before, () => `changed files outside of the image: ${what()}`);
  }
}

/** Names, kinds, sizes, times and contents below a folder. */
function stateOf(folder: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name);
    const { mode, size, mtimeMs, nlink } = lstatSync(path);
    hash.update(`${name} ${mode} ${size} ${mtimeMs} ${nlink}\n`);
    if ((mode & 0o170000) === 0o120000) hash.update(readlinkSync(path));
    else if ((mode & 0o170000) === 0o100000) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

export interface Command {
  readonly name: string;
  readonly args: readonly string[];
  /** It may change the image. */
  readonly changes: boolean;
}

interface End {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly memoryBytes: number;
  readonly late: boolean;
}

/** What it came to: `ok`, or the code of its error. @throws Finding */
export async function tryImage(
  program: readonly string[],
  command: Command,
  image: { readonly path: string; readonly what: string },
  bystander: Bystander,
): Promise<string> {
  const scratch = mkdtempSync(join(bystander.folder, '../scratch-'));
  const mark = `UNDERSTUDY_IMAGE_TRIED=${randomBytes(8).toString('hex')}`;
  const before = command.changes ? '' : contentOf(image.path);
  const shown = (end: End): string =>
    `${command.name} of ${image.what}: ${end.stderr.slice(-1500)} ${end.stdout.slice(0, 300)}`;
  try {
    const end = await runWatched([...program, ...command.args], scratch, mark);
    holds(!end.late, () => `does not end within ${TIME_MS_MAX} ms: ${shown(end)}`);
    holds(end.memoryBytes < MEMORY_BYTES_MAX, () => `takes ${end.memoryBytes} bytes of memory: ${shown(end)}`);
    holds(end.signal === null, () => `ends with ${end.signal}: ${shown(end)}`);
    bystander.checkUntouched(() => shown(end));
    holds(
      !`${end.stdout}${end.stderr}`.includes(bystander.secret),
      () => `shows a file outside of the image: ${shown(end)}`,
    );
    const left = leftIn(scratch);
    holds(left.length === 0, () => `leaves ${left.join(', ')} behind: ${shown(end)}`);
    await noProcesses(mark, () => shown(end));
    if (!command.changes) holds(contentOf(image.path) === before, () => `changed the image: ${shown(end)}`);
    return codeOf(end, () => shown(end));
  } finally {
    for (const { pid } of markedProcesses(mark)) process.kill(pid, 'SIGKILL');
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Files, and folders of one operation; those that stay for the next one are empty. */
function leftIn(scratch: string): string[] {
  const entries = readdirSync(scratch, { recursive: true, encoding: 'utf8' });
  return entries.filter((name) => /(^|\/)work-[^/]*$/.test(name) || !lstatSync(join(scratch, name)).isDirectory());
}

function contentOf(path: string): string {
  const { size, mtimeMs, ino } = statSync(path);
  return `${size} ${mtimeMs} ${ino} ${size > DIGEST_BYTES_MAX ? '' : digestOfFile(path)}`;
}

async function noProcesses(mark: string, what: () => string): Promise<void> {
  // One that was told to end may take a moment.
  for (const until = performance.now() + patience(5000); performance.now() < until; ) {
    if (markedProcesses(mark).length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  const left = markedProcesses(mark).map(({ command }) => command);
  holds(left.length === 0, () => `leaves processes behind: ${left.join('; ')}: ${what()}`);
}

/**
 * An answer in the documented form: {"ok": false, "error": {code, message}} with the exit status of the code, or a
 * result.
 */
function codeOf({ status, stdout, stderr }: End, what: () => string): string {
  holds(!/\n {4}at |\bat .*\.[cm]?[jt]s:\d+/.test(stderr), () => `shows a stack: ${what()}`);
  if (status === 0) return 'ok';
  const code = failureIn(stdout);
  holds(code !== null, () => `fails with status ${status} and no error as JSON: ${what()}`);
  holds(isErrorCode(code ?? ''), () => `fails with ${code}: ${what()}`);
  const { exit } = errorRegistry[code as ErrorCode];
  holds(exit === status, () => `fails with ${code} and status ${status} instead of ${exit}: ${what()}`);
  return code as string;
}

function failureIn(stdout: string): string | null {
  try {
    const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as {
      readonly error?: { readonly code: string } | null;
      readonly targets?: readonly { readonly error?: { readonly code: string } | null }[];
    };
    return last.error?.code ?? last.targets?.find(({ error }) => error)?.error?.code ?? null;
  } catch {
    // No JSON: the answer is null.
    return null;
  }
}

/** Runs it with a folder for temporary files of its own, and adds up what it and all that it starts hold in memory. */
function runWatched([program = '', ...args]: readonly string[], scratch: string, mark: string): Promise<End> {
  const [name = '', value = ''] = mark.split('=');
  const home = { HOME: scratch, XDG_STATE_HOME: join(scratch, 's'), XDG_RUNTIME_DIR: scratch, TMPDIR: scratch };
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...home, [name]: value },
  });
  let [stdout, stderr, memoryBytes, late] = ['', '', 0, false];
  const take = (so: string, bytes: Buffer): string => (so.length > OUTPUT_BYTES_MAX ? so : so + bytes.toString());
  child.stdout.on('data', (bytes: Buffer) => (stdout = take(stdout, bytes)));
  child.stderr.on('data', (bytes: Buffer) => (stderr = take(stderr, bytes)));
  const watch = setInterval(() => {
    memoryBytes = Math.max(memoryBytes, residentBytes(child.pid ?? 0));
  }, LOOK_MS);
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, TIME_MS_MAX);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearInterval(watch);
      clearTimeout(timer);
      resolve({ status, signal, stdout, stderr, memoryBytes, late });
    });
  });
}

/** Of a process and its descendants. */
function residentBytes(pid: number): number {
  const children = read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
  const own = Number(/^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
  return children.reduce((sum, child) => sum + residentBytes(child), own);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended meanwhile.
    return '';
  }
}
