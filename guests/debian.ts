// Debian systems unpacked by mmdebstrap(1), without mounting anything, as root or as a user.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { requireTool, runTool } from '../src/base/mod.ts';

/** Told of each step of something that takes long. */
export type Report = (line: string) => void;

export interface DebianRequest {
  /** As "bookworm". */
  readonly suite: string;
  readonly packages: readonly string[];
  /**
   * Shell text that runs when all packages are there, as root of a user namespace or of the machine, and turns the
   * system in $1 into the image behind descriptor 9. Such a mapped root may not see the caller's folders: hence text,
   * and hence a descriptor.
   */
  readonly hook: string;
  /** Environment of the hook. */
  readonly variables: Readonly<Record<string, string>>;
  /** Lines of sources.list(5). @default those of this machine that offer the suite, or mmdebstrap's own */
  readonly sources?: readonly string[];
  /** The image: a file that is there, which everybody can write. */
  readonly disk: string;
  /** For the system while it is unpacked, when we are root. */
  readonly folder: string;
  readonly report: Report;
  readonly abort: AbortSignal;
}

/** Where the hook finds the disk. */
const HOOK_DESCRIPTOR = 9;

/** The apt sources of this machine that offer the suite, so that mirrors that somebody chose are used. */
function aptSources(suite: string): string[] {
  const folder = '/etc/apt/sources.list.d';
  const parts = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return ['/etc/apt/sources.list', ...parts.filter((path) => /\.(list|sources)$/.test(path)).sort()].filter((path) => {
    if (!existsSync(path)) return false;
    const lines = readFileSync(path, 'utf8').split('\n');
    const active = lines.filter((line) => !line.startsWith('#')).join('\n');
    return active.includes(suite) && /\bmain\b/.test(active);
  });
}

/** The proxies that apt on this machine goes through. */
async function aptProxies(): Promise<string[]> {
  const tool = requireTool('apt-config', 'apt');
  const { stdout } = await runTool(tool, ['dump', '--format', '%f "%v";%n', 'Acquire']);
  return stdout.split('\n').filter((line) => /^Acquire::https?::Proxy /.test(line));
}

/**
 * Runs mmdebstrap, handing on its own account of its progress.
 * @throws Error with its last lines, and the reason of an abort
 */
export async function unpackDebian(request: DebianRequest): Promise<void> {
  const tool = requireTool('mmdebstrap', 'mmdebstrap');
  const args = [
    '--variant=minbase',
    '--format=null',
    // One each: patterns of apt, such as ?priority(standard), may not stand in a list.
    ...request.packages.map((name) => `--include=${name}`),
    ...(await aptProxies()).map((option) => `--aptopt=${option}`),
    `--customize-hook=${request.hook}`,
    request.suite,
    '/dev/null',
    ...(request.sources ?? aptSources(request.suite)),
  ];
  const env = { ...process.env, ...request.variables, LC_ALL: 'C' };
  // The chroot of a mapped root must be where that root may go, which is the system's own temporary folder.
  const asRoot = process.getuid?.() === 0;
  const descriptor = openSync(request.disk, 'r+');
  try {
    const child = spawn(tool, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...Array<'ignore'>(HOOK_DESCRIPTOR - 3).fill('ignore'), descriptor],
      env: asRoot ? { ...env, TMPDIR: request.folder } : env,
    });
    // It has a chroot to remove, so it is asked to end, not made to.
    request.abort.addEventListener('abort', () => child.kill('SIGINT'), { once: true });
    const closed = once(child, 'close');
    const tail = await followSteps(child.stderr, request);
    const [status] = await closed;
    request.abort.throwIfAborted();
    if (status !== 0) throw new Error(`mmdebstrap ended with status ${status}:\n${tail.join('\n')}`);
  } finally {
    closeSync(descriptor);
  }
}

/** Reports mmdebstrap's steps as they begin; gives its last lines, for the case of an error. */
async function followSteps(output: Readable | null, { report, hook }: DebianRequest): Promise<string[]> {
  const tail: string[] = [];
  // mmdebstrap repeats a hook that failed.
  const repeated = new Set(hook.split('\n'));
  if (output === null) return tail;
  for await (const line of createInterface({ input: output })) {
    const step = /^I: ([a-z ]+)\.\.\.$/.exec(line)?.[1];
    if (step !== undefined) report(step);
    else if (line.includes('customize-hook')) report('making the disk image');
    if (!repeated.has(line)) tail.push(line);
    if (tail.length > 30) tail.shift();
  }
  return tail;
}
