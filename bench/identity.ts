// How long it takes to make a copy of a pet another host, beside the tools that people use for templates.
import { rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPet, copySparsely, GATEWAY, type Pet, SPARE } from '../guests/mod.ts';
import { findTool, runTool } from '../src/base/mod.ts';
import { searchRows } from './identity-search.ts';
import type { Bench, Question } from './question.ts';
import type { Report } from './report.ts';
import { program as ourProgram } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, type Spread, spreadOf } from './rig/pair.ts';

const ROUNDS = 5;
const PEER_ROUNDS = 1;
/** An appliance is a virtual machine, which is emulated where there is no KVM. */
const PEER_TIMEOUT_MS = 900_000;

interface Peer {
  readonly name: string;
  readonly debianPackage: string;
  readonly args: (image: string) => readonly string[];
}

/** As their manual pages say it for a copy that is to be another host. */
const peers: readonly Peer[] = [
  {
    name: 'virt-sysprep',
    debianPackage: 'guestfs-tools',
    args: (image) => ['--format', 'raw', '-a', image, '--hostname', SPARE.hostName],
  },
  {
    name: 'virt-customize',
    debianPackage: 'guestfs-tools',
    args: (image) => ['--format', 'raw', '-a', image, '--hostname', SPARE.hostName, '--ssh-inject', 'root:string:x'],
  },
];

export const identity: Question = { name: 'identity', run: runIdentity };

async function runIdentity(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const abort = new AbortController();
  workbench.defer(() => abort.abort());
  const pet = await buildPet({ report: bench.say, abort: abort.signal });
  const spare = join(workbench.folder, 'spare1.yaml');
  writeFileSync(spare, hostFile());
  const rows: string[][] = [];
  const row = (what: string, spread: Spread, ratio: string): void =>
    void rows.push([what, formatSpread(spread), ratio]);
  for (const layout of ['image', 'disk'] as const) {
    const name = layout === 'image' ? 'bare file system' : 'whole disk';
    const rounds = options.rounds ?? ROUNDS;
    bench.say(`identity: ${name}`);
    const ours = await alternate(
      rounds,
      () => timed(bench, pet[layout], (image) => understudy(['inspect', image])),
      () => timed(bench, pet[layout], (image) => understudy(['personalise', image, '--as', spare, '--apply'])),
    );
    row(`understudy inspect, ${name}`, spreadOf(ours.a), '');
    row(`understudy personalise --apply, ${name}`, spreadOf(ours.b), '');
  }
  const notes = await beside(bench, pet, spare, rows);
  return {
    name: 'identity',
    title: 'Identity',
    method:
      'A pet of 1 GiB (Debian 12 with web server, wiki, database and mail server), a fresh copy each time, on the disk and in the page cache. ' +
      'Whole processes, with their start, all keys made anew (RSA among them), and verified afterwards. The ratio is our `personalise` divided ' +
      'by the rival, which changes less: names and keys, but neither addresses nor queues, jobs or databases.',
    target:
      'inspect and apply together at most 3 s without a kernel mount; a search of many files at most 1.5 times find and grep, mount included.',
    tables: [
      { heading: 'Seconds for an image of 1 GiB', columns: ['what', 'seconds', 'ratio'], rows },
      {
        heading: 'Seconds for an image with 200,000 small texts',
        columns: ['inspect', 'understudy', 'find and grep', 'ratio'],
        rows: await searchRows(bench),
      },
    ],
    notes,
  };
}

function hostFile(): string {
  const { hostName, link, mac, address } = SPARE;
  const own = `  - {name: ${link}, mac: "${mac}", addresses: [${address}], gateway: ${GATEWAY}}`;
  return `hostName: ${hostName}\ninterfaces:\n${own}\n`;
}

async function beside(bench: Bench, pet: Pet, spare: string, rows: string[][]): Promise<string[]> {
  const notes: string[] = [];
  const words = bench.options.peers;
  for (const { name, debianPackage, args } of peers) {
    if (words !== null && !words.some((word) => name.includes(word))) continue;
    const program = findTool(name);
    if (program === null) {
      notes.push(`${name}: absent, apt-get install ${debianPackage}`);
      continue;
    }
    bench.say(`identity: ${name}`);
    // /dev/kvm may be there and not work; emulation always does.
    const env = { LIBGUESTFS_BACKEND: 'direct', LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg' };
    const pairs = await alternate(
      PEER_ROUNDS,
      () => timed(bench, pet.image, (image) => understudy(['personalise', image, '--as', spare, '--apply'])),
      () => timed(bench, pet.image, (image) => run(program, args(image), env)),
    );
    const same = (seconds: number): number => seconds;
    rows.push([name, formatSpread(spreadOf(pairs.b)), formatSpread(ratiosOf(pairs, same, same))]);
  }
  return notes;
}

async function timed(bench: Bench, from: string, use: (image: string) => Promise<void>): Promise<number> {
  const image = join(bench.workbench.folder, 'copy.img');
  await copySparsely(from, image);
  await flush(image);
  try {
    const startedMs = performance.now();
    await use(image);
    return (performance.now() - startedMs) / 1000;
  } finally {
    rmSync(image, { force: true });
  }
}

/** Or else whoever makes a change durable would first write all of the copy. */
async function flush(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function understudy(args: readonly string[]): Promise<void> {
  await run(process.execPath, [ourProgram, ...args], {});
}

async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const done = await runTool(program, args, { timeoutMs: PEER_TIMEOUT_MS, env });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.stderr}${done.stdout}`);
}
