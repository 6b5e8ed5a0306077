// `npm run demo:copy`: five copies of one server's disk, asked for at different times, from a slow source that is read about
// once. One copy is killed on the way and resumed. Everything promised is checked; the exit status says whether it held.
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inWorkFolder } from '../guests/mod.ts';
import { formatBytes, formatDuration, limits, messageOf, requireTool, runTool } from '../src/base/mod.ts';
import { demoImage } from './demo-image.ts';
import { Screen, table } from './demo-screen.ts';
import { ASKED_AT, Part, Show } from './demo-show.ts';
import { dataBytesOf, SlowDisk, untilIdle } from './demo-stage.ts';

/** The source is made so slow that one pass takes about this long. */
const PASS_SECONDS = 22;
/** Of a pass: for blocks at the edges. */
const EDGES = 0.1;
const COMPARE_TIMEOUT_MS = 60_000;

const screen = new Screen(process.stdout);

function requireRoom(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes) return;
  throw new Error(`${folder} has ${formatBytes(bavail * bsize)} free; five copies need ${formatBytes(bytes)}`);
}

/** Compares every copy with the source byte for byte, by a program that is not ours. */
async function compareAll(image: string, parts: readonly Part[]): Promise<void> {
  const cmp = requireTool('cmp', 'diffutils');
  for (const { name, target } of parts) {
    const { status, stdout, stderr } = await runTool(cmp, [image, target], { timeoutMs: COMPARE_TIMEOUT_MS });
    if (status !== 0) throw new Error(`${name} differs from the source: ${stdout}${stderr}`);
  }
}

function secondsText(seconds: number | null): string {
  return seconds === null ? '' : formatDuration(seconds);
}

function resultTable(parts: readonly Part[]): string {
  const head = ['copy', 'asked at', 'began at', 'done at', 'took', 'verified', 'equals the source', ''];
  const rows = parts.map((part) => {
    const { name, askedAt, doneAt, killedAt, resumedAt } = part;
    const mishap = killedAt === null ? '' : `killed at ${secondsText(killedAt)}, resumed at ${secondsText(resumedAt)}`;
    const began = `${Math.floor((part.startShare ?? 0) * 100)} % of the disk`;
    const took = secondsText(doneAt === null ? null : doneAt - askedAt);
    return [name, secondsText(askedAt), began, secondsText(doneAt), took, 'yes', 'yes', mishap];
  });
  return table([head, ...rows]);
}

function costOf(readBytes: number, dataBytes: number): string[] {
  const passes = readBytes / dataBytes;
  return [formatBytes(readBytes), passes.toFixed(2), formatDuration(passes * PASS_SECONDS)];
}

/** The last word: what nbdkit counted, beside what separate copies would have cost. */
function sumUp(readBytes: number, dataBytes: number, parts: readonly Part[]): void {
  // One pass, and the part of a second one that is missed by who comes last, which is the copy that is resumed.
  const lastAt = Math.max(...parts.map(({ askedAt, resumedAt }) => resumedAt ?? askedAt));
  const passesMax = 1 + lastAt / PASS_SECONDS + EDGES;
  const rows = [
    ['', 'read from the source', 'passes', 'time of the disk'],
    ['these copies, counted by nbdkit', ...costOf(readBytes, dataBytes)],
    ['five separate copies', ...costOf(dataBytes * ASKED_AT.length, dataBytes)],
  ];
  screen.say('');
  screen.say(table(rows));
  if (readBytes > dataBytes * passesMax) {
    throw new Error(`the source was read more than ${passesMax.toFixed(2)} times`);
  }
}

async function perform(image: string, folders: { disks: string; stage: string }, abort: AbortSignal): Promise<void> {
  const dataBytes = await dataBytesOf(image);
  requireRoom(folders.disks, dataBytes * ASKED_AT.length + limits.GIB);
  const disk = await SlowDisk.start(image, folders.stage, dataBytes / PASS_SECONDS);
  const parts = ASKED_AT.map((_, index) => new Part(index, folders.disks));
  try {
    screen.say(`Source: ${image}, ${formatBytes(dataBytes)} of data`);
    screen.say(`served by nbdkit at ${formatBytes(dataBytes / PASS_SECONDS)}/s: one pass takes about ${PASS_SECONDS}s`);
    screen.say('');
    await new Show(screen, disk.uri, parts, abort).play();
    await untilIdle(disk.uri);
    screen.say('');
    screen.say('Comparing every copy with the source byte for byte ...');
    await compareAll(image, parts);
    await disk.stop();
    screen.say('');
    screen.say(resultTable(parts));
    sumUp(disk.bytesRead(), dataBytes, parts);
  } finally {
    for (const part of parts) await part.process?.stop();
    await untilIdle(disk.uri);
    await disk.stop();
  }
}

async function main(): Promise<void> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => abort.abort(new Error(`stopped by ${signal}; everything is cleaned up`)));
  }
  // A terminal that is gone, or a reader that has seen enough, must not keep us from cleaning up.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', (error) => abort.abort(error));
  const image = await demoImage((line) => screen.say(line), abort.signal);
  // The socket's path has to be short, the disks have to be where there is room.
  const stage = mkdtempSync(join(tmpdir(), 'understudy-demo-'));
  try {
    await inWorkFolder((disks) => perform(image, { disks, stage }, abort.signal));
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  screen.keep();
  process.stderr.write(`demo: ${messageOf(error)}\n`);
  process.exitCode = 1;
});
