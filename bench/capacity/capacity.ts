// From the order to the first request served, stage by stage, beside the same steps by hand; and what the lead's users
// feel of it.
import { mkdirSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  buildGuests,
  copySparsely,
  GUEST_APPEND,
  GUEST_MEMORY_MIB,
  type Guests,
  identityFiles,
  LEAD,
  SPARE,
} from '../../guests/mod.ts';
import { Stage } from '../../scripts/loop/stage.ts';
import { formatBytes, limits, requireTool, runTool } from '../../src/base/mod.ts';
import type { EngagementView, StatusView } from '../../src/controller/mod.ts';
import { findAccelerator } from '../../src/power/mod.ts';
import type { Bench, Question } from '../question.ts';
import type { Report } from '../report.ts';
import { projectFolder } from '../rig/machine.ts';
import { formatSpread, spreadOf } from '../rig/pair.ts';
import { cloneByHand, type Lap } from './by-hand.ts';

const SIZES = [limits.GIB, 8 * limits.GIB];
const ROUNDS = 2;
const PAGE = '/doku.php?id=start';
const BEFORE_MS = 20_000;
const THINK_MS = 50;
/** Between two questions of the outside client to the understudy that comes up. */
const ASK_MS = 100;
const ASK_TIMEOUT_MS = 5000;
/** Costs the understudy little, so that asking does not keep it from starting. */
const ASKED = 'http://10.90.0.21/whoami.php';
/** The columns; what both do in one go is one of them. */
const STAGES = ['choose and fence', 'preserve', 'replicate', 'personalise', 'boot and prove', 'admit'] as const;
const COLUMN_OF: Readonly<Record<string, (typeof STAGES)[number]>> = {
  choose: 'choose and fence',
  fence: 'choose and fence',
  boot: 'boot and prove',
  prove: 'boot and prove',
};
const COPYING = ['preserve', 'replicate', 'personalise'];

export const capacity: Question = { name: 'capacity', run: measure };

/** Seconds by stage. */
type Laps = ReadonlyMap<string, number>;

interface Ours {
  readonly laps: Laps;
  readonly beforeMs: number;
  readonly duringMs: number;
  /** From the first good answer to an outside client to the end of prove, and the time of admit. */
  readonly proveAfterSeconds: number;
  readonly admitSeconds: number;
}

async function measure(bench: Bench): Promise<Report> {
  const abort = new AbortController();
  bench.workbench.defer(() => abort.abort());
  const guests = await buildGuests({ report: (line) => bench.say(line), abort: abort.signal });
  const sizes = bench.options.sizeBytes === null ? SIZES : [bench.options.sizeBytes];
  const stages: string[][] = [];
  const latencies: string[][] = [];
  const proofs: string[][] = [];
  for (const sizeBytes of sizes) {
    await bench.workbench.scope(async () => {
      const { ours, byHand } = await measureSize(bench, guests, sizeBytes);
      const volume = formatBytes(sizeBytes);
      stages.push(
        lapRow(
          volume,
          'understudy',
          ours.map(({ laps }) => laps),
        ),
        lapRow(volume, 'by hand', byHand),
      );
      stages.push(
        ratioRow(
          volume,
          ours.map(({ laps }) => laps),
          byHand,
        ),
      );
      latencies.push(latencyRow(volume, ours));
      proofs.push(proofRow(volume, ours));
    });
  }
  return {
    name: 'capacity',
    title: 'Time to capacity',
    method:
      `Two Debian guests with ${GUEST_MEMORY_MIB} MiB of memory each and about half a GiB in use on their disks; a reader asks the lead for one ` +
      'page after the other, with a moment between them. "understudy" is `understudy clone`, by hand is a script of the same steps: qemu-img ' +
      'convert for the backup of the spare and for the copy of the disk that the lead goes on writing (which is not one moment of it), debugfs and ' +
      'ssh-keygen for its identity, QEMU, a look at the service, the socket of HAProxy. The latency of the lead is that of the reader, in the ' +
      `${BEFORE_MS / 1000} s before the order, and while the spare is backed up and the copy made and changed. An outside client asks the ` +
      'understudy who it is, over and over from the order on; its first good answer is where the proof of life is measured from.',
    target:
      "the lead's 95th percentile during the copy at most 1.5 times that before; prove ends at most 3 s after the first good answer, " +
      'and admit takes at most 1 s, median of five rounds.',
    tables: [
      { heading: 'Seconds by stage', columns: ['volume', 'by', ...STAGES, 'all'], rows: stages, keyColumns: 2 },
      {
        heading: 'A page of the lead, milliseconds, 95th percentile',
        columns: ['volume', 'before', 'during the copy', 'ratio'],
        rows: latencies,
      },
      {
        heading: 'From the first good answer to an outside client, seconds',
        columns: ['volume', 'until prove ends', 'then admit'],
        rows: proofs,
      },
    ],
    notes: [],
  };
}

async function measureSize(bench: Bench, guests: Guests, sizeBytes: number) {
  // Not in the folder of the workbench: names of sockets are short.
  const folder = mkdtempSync(join(tmpdir(), 'ustc-'));
  bench.workbench.defer(() => rmSync(folder, { recursive: true, force: true }));
  const times: { atMs: number; milliseconds: number }[] = [];
  const stage = await makeStage(folder, guests, sizeBytes, (milliseconds) =>
    times.push({ atMs: Date.now(), milliseconds }),
  );
  bench.workbench.defer(() => stage.close());
  await stage.startController();
  await stage.json('power', 'web1', 'on');
  await stage.until('web1 answers', async () => {
    return (await stage.insider.ask({ url: `${stage.site}${PAGE}` })).status === 200;
  });
  stage.insider.load({ clients: 1, url: `http://10.90.0.11${PAGE}`, thinkMs: THINK_MS, timeoutMs: 60_000 });
  const accelerator = await acceleratorOf(folder);
  const [ours, byHand]: [Ours[], Laps[]] = [[], []];
  for (let round = 1; round <= (bench.options.rounds ?? ROUNDS); round += 1) {
    bench.say(`capacity: ${formatBytes(sizeBytes)}, round ${round}: understudy`);
    ours.push(await cloneOurs(stage, times));
    bench.say(`capacity: ${formatBytes(sizeBytes)}, round ${round}: by hand`);
    await stage.stopController('SIGTERM');
    const laps = await cloneByHand({
      ...{ stage, guests, lead: 'web1', spare: 'spare1', identity: identityFiles(SPARE), append: GUEST_APPEND },
      ...{ memoryMiB: GUEST_MEMORY_MIB, mac: SPARE.mac, address: '10.90.0.21', accelerator },
    });
    byHand.push(sumUp(laps));
    await stage.startController();
  }
  return { ours, byHand };
}

async function acceleratorOf(folder: string): Promise<string> {
  const probe = join(folder, 'probe');
  mkdirSync(probe);
  return findAccelerator(requireTool('qemu-system-x86_64', 'qemu-system-x86'), probe);
}

async function makeStage(folder: string, guests: Guests, sizeBytes: number, onPage: (ms: number) => void) {
  const compiled = (path: string): string => join(projectFolder(), 'dist', path);
  const images = join(folder, 'images');
  mkdirSync(images);
  const host = async (name: string, number: number, mac: string, image: string) => {
    const grown = join(images, `${name}.img`);
    await growTo(image, grown, sizeBytes);
    return { name, number, mac, image: grown, token: `agent-of-${name}-0123456789` };
  };
  const hosts = [
    await host('web1', 11, LEAD.mac, guests.webImage),
    await host('spare1', 21, SPARE.mac, guests.spareImage),
  ];
  const stageFolder = join(folder, 's');
  mkdirSync(stageFolder);
  return Stage.make({
    folder: stageFolder,
    program: compiled('run/cli/understudy.js'),
    inside: compiled('scripts/loop/inside.js'),
    agent: compiled('run/agent/agent.js'),
    kernel: guests.kernel,
    initrd: guests.initrd,
    append: GUEST_APPEND,
    hosts,
    mode: 'advise',
    objectiveMs: 60_000,
    onSample: ({ milliseconds }) => onPage(milliseconds),
  });
}

/** A guest's file system in a larger file, with as much in it as before. */
async function growTo(image: string, to: string, sizeBytes: number): Promise<void> {
  await copySparsely(image, to);
  truncateSync(to, sizeBytes);
  for (const [name, args] of [
    ['e2fsck', ['-fy', to]],
    ['resize2fs', [to]],
  ] as const) {
    const done = await runTool(requireTool(name, 'e2fsprogs'), args, { timeoutMs: 120_000 });
    if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
  }
}

async function cloneOurs(stage: Stage, times: { atMs: number; milliseconds: number }[]): Promise<Ours> {
  const beginMs = Date.now();
  await delay(BEFORE_MS);
  const orderMs = Date.now();
  const client = new AbortController();
  const answered = firstAnswerMs(stage, client.signal);
  const { stages } = await stage.json<{ stages: EngagementView['stages'] }>('clone', 'web1', '--to', 'spare1');
  client.abort();
  const { since } = (await stage.api<StatusView>('/v1/status')).engagements.at(-1) ?? { since: '' };
  const admitSeconds = secondsOf(stages, 'admit');
  const proveAfterSeconds = (Date.parse(since) - (await answered)) / 1000 - admitSeconds;
  const before = times.filter(({ atMs }) => atMs >= beginMs && atMs < orderMs);
  const [firstMs, lastMs] = copyingMs(stages, orderMs);
  const during = times.filter(({ atMs }) => atMs >= firstMs && atMs <= lastMs);
  await stage.json('dismiss', 'spare1');
  await stage.until('spare1 is free', async () => {
    return (await stage.api<StatusView>('/v1/status')).engagements.at(-1)?.state === 'done';
  });
  const laps = sumUp(stages.map(({ phase, seconds }) => ({ stage: COLUMN_OF[phase] ?? phase, seconds })));
  const pages = { beforeMs: percentile95(before), duringMs: percentile95(during) };
  return { laps, ...pages, proveAfterSeconds, admitSeconds };
}

function secondsOf(stages: EngagementView['stages'], wanted: string): number {
  return stages.find(({ phase }) => phase === wanted)?.seconds ?? Number.NaN;
}

/** When the understudy first answered somebody who has nothing to do with the controller; NaN: never. */
async function firstAnswerMs(stage: Stage, signal: AbortSignal): Promise<number> {
  while (!signal.aborted) {
    // No answer yet is what is waited out.
    const answer = await stage.insider.ask({ url: ASKED, timeoutMs: ASK_TIMEOUT_MS }).catch(() => null);
    if (answer?.status === 200) return Date.now();
    await delay(ASK_MS);
  }
  return Number.NaN;
}

/** Of the stages that copy, in the time of the samples. */
function copyingMs(stages: EngagementView['stages'], orderMs: number): [number, number] {
  const until = (index: number): number =>
    orderMs + 1000 * stages.slice(0, index).reduce((sum, { seconds }) => sum + seconds, 0);
  const first = stages.findIndex(({ phase }) => COPYING.includes(phase));
  const last = stages.findLastIndex(({ phase }) => COPYING.includes(phase));
  return [until(first), until(last + 1)];
}

function percentile95(samples: readonly { milliseconds: number }[]): number {
  const sorted = samples.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
}

function sumUp(laps: readonly Lap[]): Laps {
  const sums = new Map<string, number>();
  for (const { stage, seconds } of laps) sums.set(stage, (sums.get(stage) ?? 0) + seconds);
  return sums;
}

function total(laps: Laps): number {
  return STAGES.reduce((sum, stage) => sum + (laps.get(stage) ?? 0), 0);
}

function lapRow(volume: string, by: string, rounds: readonly Laps[]): string[] {
  const seconds = STAGES.map((stage) => rounds.map((laps) => laps.get(stage) ?? 0));
  const cells = seconds.map((values) =>
    values.every((value) => value === 0) ? '-' : formatSpread(spreadOf(values), 1),
  );
  return [volume, by, ...cells, formatSpread(spreadOf(rounds.map(total)), 1)];
}

/** Stage by stage where both have it, round by round. */
function ratioRow(volume: string, ours: readonly Laps[], byHand: readonly Laps[]): string[] {
  const ratio = (of: (laps: Laps) => number): string => {
    const ratios = ours.map((laps, round) => of(laps) / of(byHand[round] ?? new Map()));
    return ratios.every(Number.isFinite) ? formatSpread(spreadOf(ratios)) : '-';
  };
  return [volume, 'ratio', ...STAGES.map((stage) => ratio((laps) => laps.get(stage) ?? Number.NaN)), ratio(total)];
}

function proofRow(volume: string, ours: readonly Ours[]): string[] {
  const cell = (of: (one: Ours) => number): string => formatSpread(spreadOf(ours.map(of)), 1);
  return [volume, cell(({ proveAfterSeconds }) => proveAfterSeconds), cell(({ admitSeconds }) => admitSeconds)];
}

function latencyRow(volume: string, ours: readonly Ours[]): string[] {
  const cell = (of: (one: Ours) => number, digits: number): string => formatSpread(spreadOf(ours.map(of)), digits);
  return [
    volume,
    cell(({ beforeMs }) => beforeMs, 0),
    cell(({ duringMs }) => duringMs, 0),
    cell(({ beforeMs, duringMs }) => duringMs / beforeMs, 2),
  ];
}
