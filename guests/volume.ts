// Boot volumes made from a guest's image: a sparse copy with a few files changed in user space, with debugfs(8).
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { requireTool, runTool } from '../src/base/mod.ts';

/** What is to be in the image: a file with this content, or a symbolic link. */
export type Entry = { readonly content: string | Uint8Array; readonly mode?: number } | { readonly linkTo: string };

export interface AgentOfGuest {
  /** The agent as one file of JavaScript, which the guest's own Node.js runs. */
  readonly bundle: string;
  /** What is written to its settings file. */
  readonly settings: { readonly host: string; readonly controller: string } & Readonly<Record<string, string>>;
}

async function debugfs(image: string, args: readonly string[]): Promise<string> {
  const done = await runTool(requireTool('debugfs', 'e2fsprogs'), [...args, image]);
  if (done.status !== 0) throw new Error(`debugfs ${args.join(' ')} ${image}: ${done.stderr}`);
  return done.stdout;
}

/** Content of a file of the image; null when it is not there. */
export async function readFromImage(image: string, path: string): Promise<Uint8Array | null> {
  const folder = mkdtempSync(join(tmpdir(), 'guest-'));
  try {
    const copy = join(folder, 'copy');
    writeFileSync(copy, '');
    const status = await debugfs(image, ['-R', `stat ${path}`]);
    if (!status.includes('Type: regular')) return null;
    await debugfs(image, ['-R', `dump ${path} ${copy}`]);
    return readFileSync(copy);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Folders above the paths that are not there yet, parents first: debugfs makes one at a time, and damages those that
 * are.
 */
async function missingFolders(image: string, paths: readonly string[]): Promise<readonly string[]> {
  const above = (path: string): string[] => (path === '/' ? [] : [...above(dirname(path)), path]);
  const folders = [...new Set(paths.flatMap((path) => above(dirname(path))))];
  const missing: string[] = [];
  for (const folder of folders) {
    if (!(await debugfs(image, ['-R', `stat ${folder}`])).includes('Type: directory')) missing.push(folder);
  }
  return missing;
}

/** Writes entries into an image that nobody uses, and reads them back. Owner is root. */
export async function writeIntoImage(image: string, entries: Readonly<Record<string, Entry>>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'guest-'));
  try {
    const commands = (await missingFolders(image, Object.keys(entries))).map((path) => `mkdir ${path}`);
    for (const [index, [path, entry]] of Object.entries(entries).entries()) {
      commands.push(`rm ${path}`);
      if ('linkTo' in entry) {
        commands.push(`symlink ${path} ${entry.linkTo}`);
        continue;
      }
      const source = join(folder, String(index));
      writeFileSync(source, entry.content);
      commands.push(`write ${source} ${path}`, `sif ${path} mode 0100${(entry.mode ?? 0o644).toString(8)}`);
    }
    const script = join(folder, 'commands');
    writeFileSync(script, `${commands.join('\n')}\n`);
    await debugfs(image, ['-w', '-f', script]);
    for (const [path, entry] of Object.entries(entries)) await checkEntry(image, path, entry);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** debugfs ends with status 0 whatever happened. */
async function checkEntry(image: string, path: string, entry: Entry): Promise<void> {
  const isRight =
    'linkTo' in entry
      ? (await debugfs(image, ['-R', `stat ${path}`])).includes(`Fast link dest: "${entry.linkTo}"`)
      : Buffer.compare(Buffer.from(entry.content), (await readFromImage(image, path)) ?? Buffer.alloc(0)) === 0;
  if (!isRight) throw new Error(`${path} could not be written into ${image}`);
}

export async function copySparsely(from: string, to: string): Promise<void> {
  const cp = requireTool('cp', 'coreutils');
  const done = await runTool(cp, ['--sparse=always', '--reflink=auto', from, to], { timeoutMs: 120_000 });
  if (done.status !== 0) throw new Error(`cp ${from} ${to}: ${done.stderr}`);
}

function agentEntries({ bundle, settings }: AgentOfGuest): Readonly<Record<string, Entry>> {
  return {
    '/usr/lib/understudy/agent.js': { content: readFileSync(bundle) },
    '/etc/understudy/agent.json': { content: `${JSON.stringify(settings, null, 2)}\n`, mode: 0o600 },
    '/etc/systemd/system/multi-user.target.wants/understudy-agent.service': {
      linkTo: '/etc/systemd/system/understudy-agent.service',
    },
  };
}

/** Makes a volume file from an image of `buildGuests`, with an agent that starts with the guest, or without one. */
export async function makeVolume(image: string, to: string, agent: AgentOfGuest | null = null): Promise<void> {
  await copySparsely(image, to);
  if (agent !== null) await writeIntoImage(to, agentEntries(agent));
}
