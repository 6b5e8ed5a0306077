// `npm run demo`: the whole loop on real parts. A Debian guest with a wiki behind HAProxy gets more readers than it can bear; its
// live disk is copied to a spare, the copy gets an identity of its own, boots and takes reads; when the readers are gone, the
// spare gets its own disk back. What is promised is checked; the exit status says whether it held.
import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGuests, GUEST_APPEND, type Guests, LEAD, SPARE } from '../guests/mod.ts';
import { messageOf } from '../src/base/mod.ts';
import { calibrate, OBJECTIVE, READERS } from './loop/calibrate.ts';
import { chart, type Mark, type Point } from './loop/chart.ts';
import { Stage } from './loop/stage.ts';
import { type Engagement, Timeline } from './loop/timeline.ts';

const PAGE = '/doku.php?id=start';
const BEFORE_SECONDS = 8;
const SERVING_SECONDS = 15;

const started = performance.now();

function seconds(): number {
  return (performance.now() - started) / 1000;
}

function say(text: string): void {
  process.stdout.write(`${seconds().toFixed(1).padStart(7)} s  ${text}\n`);
}

function compiled(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

function stageOptions(folder: string, guests: Guests, onSample: (at: number, milliseconds: number) => void) {
  const host = (name: string, number: number, mac: string, image: string) => {
    return { name, number, mac, image, token: `agent-of-${name}-0123456789` };
  };
  return {
    folder,
    program: compiled('run/cli/understudy.js'),
    inside: compiled('scripts/loop/inside.js'),
    agent: compiled('run/agent/agent.js'),
    kernel: guests.kernel,
    initrd: guests.initrd,
    append: GUEST_APPEND,
    hosts: [host('web1', 11, LEAD.mac, guests.webImage), host('spare1', 21, SPARE.mac, guests.spareImage)],
    mode: 'advise' as const,
    objectiveMs: 60_000,
    onSample: ({ milliseconds }: { milliseconds: number }) => onSample(seconds(), milliseconds),
  };
}

async function play(stage: Stage, points: Point[], marks: Mark[]): Promise<void> {
  const readers = (clients: number): void =>
    stage.insider.load({ clients, url: `${stage.site}${PAGE}`, thinkMs: 50, timeoutMs: 60_000 });
  const mark = (sign: string, text: string): void => {
    say(text);
    marks.push({ at: seconds(), sign, text });
  };
  await stage.startController();
  say('understudy up runs; web1 is switched on');
  await stage.json('power', 'web1', 'on');
  await stage.until(
    'web1 answers',
    async () => (await stage.insider.ask({ url: `${stage.site}${PAGE}` })).status === 200,
  );
  const pageMs = await calibrate(stage, `${stage.site}${PAGE}`);
  const objectiveMs = Math.round(pageMs * OBJECTIVE);
  say(`web1 serves a page in ${Math.round(pageMs)} ms; the objective is ${objectiveMs} ms`);
  stage.configure({ mode: 'automatic', objectiveMs });
  await stage.stopController('SIGTERM');
  await stage.startController();
  const before = await digestOf(stage.volume('spare1'));
  const timeline = new Timeline(stage, say);
  readers(1);
  await timeline.during(BEFORE_SECONDS * 1000);
  mark('A', `the load grows: ${READERS} readers`);
  readers(READERS);
  await timeline.until('an understudy serves', ({ engagement }) => engagement?.phase === 'serving');
  mark('B', 'spare1 serves, as a clone of web1 with an identity of its own');
  await checkClone(stage);
  await timeline.until('the objective is met again', ({ verdict }) => verdict === 'healthy');
  mark('C', 'the objective is met again');
  await timeline.during(SERVING_SECONDS * 1000);
  mark('D', 'the readers are gone');
  readers(0);
  await timeline.until('spare1 is free again', ({ engagement }) => engagement?.state === 'done');
  mark('E', 'spare1 is off and has its own disk back');
  if ((await digestOf(stage.volume('spare1'))) !== before) throw new Error('the disk of spare1 is not what it was');
  say('the disk of spare1 is byte for byte what it was before');
  conclude(points, marks, objectiveMs, timeline.engagement);
}

/** Asked at its own address, past the director. */
async function checkClone(stage: Stage): Promise<void> {
  const { body } = await stage.insider.ask({ url: 'http://10.90.0.21/whoami.php' });
  const { hostName, address, machineId } = JSON.parse(body) as Record<string, string>;
  if (hostName !== 'spare1' || machineId === LEAD.machineId) throw new Error(`the clone says that it is ${body}`);
  say(`asked who it is, it says: ${hostName}, ${address}, machine-id ${machineId}`);
  const post = await stage.insider.ask({ method: 'POST', url: `${stage.site}/counter.php`, body: '' });
  say(`a write through HAProxy is answered with ${post.status} by web1, the only one that gets writes`);
}

function conclude(
  points: readonly Point[],
  marks: readonly Mark[],
  limit: number,
  engagement: Engagement | null,
): void {
  const title = 'time to a page, as its readers see it';
  process.stdout.write(`\n${chart(points, marks, { title, unit: 'ms', columns: 72, rows: 10, limit })}\n\n`);
  process.stdout.write('stage          seconds\n');
  for (const stage of engagement?.stages ?? []) {
    process.stdout.write(`${stage.phase.padEnd(12)} ${stage.seconds.toFixed(1).padStart(9)}\n`);
  }
  const capacity = engagement?.timeToCapacitySeconds ?? Number.NaN;
  process.stdout.write(`\nfrom the decision to the first request served: ${capacity.toFixed(1)} s\n`);
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('this demo makes network namespaces and tap devices: run it as root');
  const abort = new AbortController();
  const stopped = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        const reason = new Error(`stopped by ${signal}`);
        abort.abort(reason);
        reject(reason);
      });
    }
  });
  const guests = await buildGuests({ report: say, abort: abort.signal });
  const folder = mkdtempSync(join(tmpdir(), 'ust-'));
  const points: Point[] = [];
  let stage: Stage | null = null;
  try {
    stage = await Stage.make(stageOptions(folder, guests, (at, value) => points.push({ at, value })));
    await Promise.race([play(stage, points, []), stopped]);
  } finally {
    await stage?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`demo: ${messageOf(error)}\n`);
  process.exitCode = 1;
});
