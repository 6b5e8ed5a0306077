// How long the search through a whole image takes, beside find(1) and grep(1) over the same files mounted by the
// kernel.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTool, seededRandom } from '../src/base/mod.ts';
import type { Bench } from './question.ts';
import { canDropCaches, dropCaches } from './rig/image.ts';
import { program as ourProgram } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';

const FILES = 200_000;
const SIZES = [300, 900, 2000, 5000, 12_000];
const ROUNDS = 5;
const TIMEOUT_MS = 3_600_000;
/**
 * All spellings that ours looks for, of a host with one address and one card; fixed strings are the fastest for grep.
 */
const SPELLINGS = [
  ...['0123456789abcdef0123456789abcdef', '01234567-89ab-cdef-0123-456789abcdef', 'web1', '10.0.0.11', '10-0-0-11'],
  ...['11.0.0.10.in-addr.arpa', '0a00000b', '52:54:00:00:00:11', '52-54-00-00-00-11', '5254.0000.0011', '525400000011'],
];
/** Ours leaves them out as well; the tree has none of them, so that both read the same. */
const LEFT_OUT = ['/proc', '/sys', '/dev', '/run', '/tmp', '/var/tmp', '/var/log', '/var/cache', '/var/lib/dpkg'];

const SYSTEM: Readonly<Record<string, string>> = {
  '/etc/os-release': 'ID=debian\n',
  '/etc/hostname': 'web1\n',
  '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  '/etc/network/interfaces': 'auto eth0\niface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n',
};

/** Rows of a table: what, seconds of ours, seconds of find and grep, ratio. */
export async function searchRows(bench: Bench): Promise<string[][]> {
  const image = join(bench.workbench.folder, 'many.img');
  bench.say(`identity: ${FILES} files`);
  await makeMany(image, join(bench.workbench.folder, 'many'));
  const rows: string[][] = [];
  for (const caches of canDropCaches() ? (['cold', 'warm'] as const) : (['warm'] as const)) {
    const before = caches === 'cold' ? dropCaches : async (): Promise<void> => {};
    const pairs = await alternate(
      bench.options.rounds ?? ROUNDS,
      () => seconds(before, process.execPath, [ourProgram, 'inspect', image]),
      () => seconds(before, 'unshare', ['--mount', 'sh', '-c', findAndGrep(), 'sh', image]),
    );
    const same = (one: number): number => one;
    const [ours, theirs] = [spreadOf(pairs.a), spreadOf(pairs.b)];
    rows.push([`${caches} caches`, ...[ours, theirs, ratiosOf(pairs, same, same)].map((one) => formatSpread(one))]);
  }
  rmSync(image);
  return rows;
}

async function makeMany(image: string, tree: string): Promise<void> {
  const random = seededRandom(FILES);
  for (const [path, text] of Object.entries(SYSTEM)) put(join(tree, path), text);
  const words = Array.from({ length: 500 }, (_, at) => `w${at}`);
  for (let at = 0; at < FILES; at += 1) {
    const size = SIZES[random.below(SIZES.length)] ?? 0;
    let text = '';
    while (text.length < size) text += `${words[random.below(words.length)]} `;
    put(join(tree, 'srv', `${at % 97}`, `${Math.floor(at / 97) % 53}`, `${at}.txt`), text.slice(0, size));
  }
  await tool('mke2fs', ['-q', '-F', '-t', 'ext4', '-N', `${FILES * 2}`, '-d', tree, image, '2G']);
  rmSync(tree, { recursive: true });
}

function put(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
}

function findAndGrep(): string {
  const left = LEFT_OUT.map((path) => `-path "$M${path}"`).join(' -o ');
  const patterns = SPELLINGS.map((one) => `-e '${one}'`).join(' ');
  const find = `find "$M" \\( ${left} \\) -prune -o -type f -size -1025k -print0`;
  return `M=$(mktemp -d); mount -o ro,loop "$1" "$M"; ${find} | xargs -0 grep -IF ${patterns} > /dev/null; umount "$M"; rmdir "$M"`;
}

async function seconds(before: () => Promise<void>, program: string, args: readonly string[]): Promise<number> {
  await before();
  const startedMs = performance.now();
  await tool(program, args);
  return (performance.now() - startedMs) / 1000;
}

async function tool(program: string, args: readonly string[]): Promise<void> {
  const done = await runTool(program, args, { timeoutMs: TIMEOUT_MS });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.stderr}${done.stdout}`);
}
