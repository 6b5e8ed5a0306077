// What the copy demo works with: a slow disk behind nbdkit that counts what is read from it, and copies as processes of
// their own. Everything started here dies with this process, however it ends.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { requireTool, runTool, spawnBound } from '../src/base/mod.ts';
import type { CopyResult, RunningCopy } from '../src/replication/mod.ts';

const CLI = fileURLToPath(new URL('../run/cli/understudy.js', import.meta.url));
const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How a child ends; a child that could not be started at all rejects. */
async function endOf(child: ChildProcess): Promise<Ended> {
  const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { status, signal };
}

function collect(stream: NodeJS.ReadableStream | null, into: string[]): void {
  stream?.on('data', (data: Buffer) => into.push(data.toString()));
}

/** Ends a child politely, and after a while impolitely; gives when it is gone. */
async function stop(child: ChildProcess, ended: Promise<unknown>, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

/** A disk image behind nbdkit, at a limited speed. */
export class SlowDisk {
  readonly uri: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  readonly #errors: string[] = [];
  readonly #log: string;

  private constructor(image: string, folder: string, bytesPerSecond: number) {
    const socket = join(folder, 'disk.sock');
    this.#log = join(folder, 'requests.log');
    this.uri = `nbd+unix:///?socket=${encodeURI(socket)}`;
    const serve = ['--foreground', '--readonly', '--unix', socket];
    const filters = ['--filter=log', '--filter=rate'];
    const parameters = [`logfile=${this.#log}`, `rate=${Math.round(bytesPerSecond * 8)}`];
    this.#child = spawnBound(requireTool('nbdkit', 'nbdkit'), [...serve, ...filters, 'file', image, ...parameters], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    collect(this.#child.stderr, this.#errors);
    this.#ended = endOf(this.#child);
  }

  /** Starts nbdkit; ready when it listens. */
  static async start(image: string, folder: string, bytesPerSecond: number): Promise<SlowDisk> {
    const disk = new SlowDisk(image, folder, bytesPerSecond);
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!existsSync(join(folder, 'disk.sock'))) {
      if (disk.#child.exitCode !== null || performance.now() > deadline) {
        await disk.stop();
        throw new Error(`nbdkit does not start: ${disk.#errors.join('')}`);
      }
      await delay(20);
    }
    return disk;
  }

  /** Bytes that nbdkit was asked to read, from its own log of requests. */
  bytesRead(): number {
    const requests = readFileSync(this.#log, 'utf8').matchAll(/ Read id=\d+ offset=0x[0-9a-f]+ count=(0x[0-9a-f]+)/g);
    return [...requests].reduce((sum, request) => sum + Number(request[1]), 0);
  }

  async stop(): Promise<void> {
    await stop(this.#child, this.#ended, 'SIGTERM');
  }
}

/** Bytes of an image that are not holes: what one separate copy has to read at the least. */
export async function dataBytesOf(image: string): Promise<number> {
  const args = ['--readonly', '--unix', '-', 'file', image, '--run', 'nbdinfo --map --totals --json "$uri"'];
  const { status, stdout, stderr } = await runTool(requireTool('nbdkit', 'nbdkit'), args);
  if (status !== 0) throw new Error(`nbdinfo: ${stderr}`);
  const totals = JSON.parse(stdout) as readonly { readonly size: number; readonly description: string }[];
  return totals.filter(({ description }) => description === 'data').reduce((sum, { size }) => sum + size, 0);
}

/** One `understudy copy` in a process of its own. */
export class CopyProcess {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #output: string[] = [];
  readonly #errors: string[] = [];

  constructor(uri: string, target: string, options: readonly string[]) {
    const args = [CLI, 'copy', uri, target, '--verify', '--json', '--quiet', ...options];
    this.#child = spawnBound(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    collect(this.#child.stdout, this.#output);
    collect(this.#child.stderr, this.#errors);
    this.ended = endOf(this.#child);
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get errors(): string {
    return this.#errors.join('').trim();
  }

  /** What it printed at its end; null when it could print nothing. */
  result(): CopyResult | null {
    const text = this.#output.join('');
    return text === '' ? null : (JSON.parse(text) as CopyResult);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    await stop(this.#child, this.ended, 'SIGINT');
  }
}

/** What `understudy copies --json` says of a source now; null when nothing of it runs. */
export async function runningCopy(uri: string): Promise<RunningCopy | null> {
  const { status, stdout, stderr } = await runTool(process.execPath, [CLI, 'copies', '--json']);
  if (status !== 0) throw new Error(`understudy copies: ${stderr}`);
  const running = JSON.parse(stdout) as readonly RunningCopy[];
  return running.find(({ source }) => source === uri) ?? null;
}

/** Resolves when nothing of a source runs any more. */
export async function untilIdle(uri: string): Promise<void> {
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  while ((await runningCopy(uri)) !== null) {
    if (performance.now() > deadline) throw new Error('all copies have ended and the source is still being read');
    await delay(100);
  }
}
