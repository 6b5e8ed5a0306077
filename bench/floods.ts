// How long /v1/status takes at rest and during each flood: `understudy up` as a process, the attack as another.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { limits, present } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report } from './report.ts';
import { type AttackName, attackNames } from './rig/attacks.ts';
import { program } from './rig/ours.ts';

const SECONDS = 20;
/** What a flood does at once, and the first compilations, are not its steady state. */
const SETTLE_MS = 3000;
const THINK_MS = 10;
const CALL_MS_MAX = 10_000;
const CONNECTIONS: Readonly<Record<AttackName, number>> = {
  'slow headers': 1000,
  'keep-alive': 1000,
  'no token': 200,
  'wrong tokens': 200,
  'giant bodies': 64,
  reports: 50,
  'event streams': 64,
};
const TIMES_REST_MAX = 5;
const FLOOR_MS = 250;
const END_MS_MAX = 10_000;

const OPERATOR = 'qIhDLrV8yGm3oTz5nXk2Pw7cRb9sEf1A';
const VIEWER = 'aZ4uWj6tKp0vNd8xMg2yHs5qLc7rBe3F';
const AGENT = 'oUy1iTr5eWq9pLk3jHg7fDs2aMn6bVc4';

export const floods: Question = { name: 'floods', run: measure };

interface Server {
  readonly port: number;
  readonly pid: number;
  readonly store: string;
}

interface Answers {
  readonly ms: readonly number[];
  readonly unanswered: number;
}

async function measure(bench: Bench): Promise<Report> {
  const seconds = bench.options.rounds ?? SECONDS;
  const server = await startServer(bench);
  const rows: string[][] = [];
  const rest = await ask(server.port, seconds);
  rows.push(rowOf('at rest', rest, server, null));
  const boundMs = Math.max(FLOOR_MS, TIMES_REST_MAX * percentile(rest.ms, 0.99));
  for (const name of attackNames) {
    bench.say(`floods: ${name}`);
    const answers = await bench.workbench.scope(async () => {
      await startAttack(bench, name, server.port);
      await delay(SETTLE_MS);
      return ask(server.port, seconds);
    });
    rows.push(rowOf(name, answers, server, boundMs));
    await delay(SETTLE_MS);
  }
  return {
    name: 'floods',
    title: 'The interface during floods',
    method:
      `\`understudy up\` with its real store and storage daemon, and the attack as another process on the same machine. An operator asks /v1/status ` +
      `with a new connection each time, ${THINK_MS} ms after the last answer, for ${seconds} s. Store and memory are those after the attack. ` +
      `Connections at the same time: ${attackNames.map((name) => `${name} ${CONNECTIONS[name]}`).join(', ')}.`,
    target: `99th percentile at most ${TIMES_REST_MAX} times that at rest or ${FLOOR_MS} ms, whichever is more; none unanswered.`,
    tables: [
      {
        heading: '/v1/status',
        columns: ['attack', 'answers', 'unanswered', 'median, ms', 'p99, ms', 'at most, ms', 'store.db', 'memory'],
        rows,
      },
    ],
    notes: [],
  };
}

function rowOf(name: string, { ms, unanswered }: Answers, { pid, store }: Server, boundMs: number | null): string[] {
  const mebibytes = (bytes: number): string => `${(bytes / limits.MIB).toFixed(1)} MiB`;
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * limits.KIB;
  const times = [0.5, 0.99].map((rank) => percentile(ms, rank).toFixed(1));
  const bound = boundMs === null ? '' : boundMs.toFixed(0);
  return [
    name,
    String(ms.length),
    String(unanswered),
    ...times,
    bound,
    mebibytes(statSync(store).size),
    mebibytes(resident),
  ];
}

/** By nearest rank. */
function percentile(values: readonly number[], rank: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(rank * sorted.length) - 1] ?? Number.POSITIVE_INFINITY;
}

async function ask(port: number, seconds: number): Promise<Answers> {
  const ms: number[] = [];
  let unanswered = 0;
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const start = performance.now();
    if (await status(port)) ms.push(performance.now() - start);
    else unanswered += 1;
    await delay(THINK_MS);
  }
  return { ms, unanswered };
}

/** Whether it was answered. */
function status(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${OPERATOR}` };
    const asked = request({ host: '127.0.0.1', port, path: '/v1/status', headers, agent: false, timeout: CALL_MS_MAX });
    asked.on('response', (response) => response.resume().on('end', () => resolve(response.statusCode === 200)));
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(false)).on('close', () => resolve(false));
    asked.end();
  });
}

async function startAttack(bench: Bench, name: AttackName, port: number): Promise<void> {
  const target = { port, viewer: VIEWER, agent: AGENT, host: 'web1', connections: CONNECTIONS[name] };
  const attacker = join(import.meta.dirname, 'rig/attacker.js');
  const args = [attacker, name, JSON.stringify(target)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  bench.workbench.track(child);
  bench.workbench.defer(() => end(child));
  await once(present(child.stdout, 'its output is a pipe'), 'data');
}

async function startServer(bench: Bench): Promise<Server> {
  const folder = join(bench.workbench.folder, 'floods');
  const file = configure(folder);
  const args = [program, 'up', '--json', '-f', file];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  bench.workbench.track(child);
  bench.workbench.defer(async () => {
    await end(child);
    // The storage daemon outlives its controller.
    for (const pid of processesOf(folder)) process.kill(pid, 'SIGKILL');
  });
  const line = await createInterface({ input: present(child.stdout, 'its output is a pipe') })
    [Symbol.asyncIterator]()
    .next();
  if (line.done === true) throw new Error('understudy up has ended');
  const { url } = JSON.parse(line.value) as { url: string };
  await delay(SETTLE_MS);
  return { port: Number(new URL(url).port), pid: present(child.pid, 'it runs'), store: join(folder, 'state/store.db') };
}

function configure(folder: string): string {
  mkdirSync(join(folder, 'secrets'), { recursive: true });
  writeFileSync(join(folder, 'secrets/tokens'), `operator bench ${OPERATOR}\nviewer eyes ${VIEWER}\n`, { mode: 0o600 });
  writeFileSync(join(folder, 'secrets/web1'), AGENT, { mode: 0o600 });
  for (const name of ['web1.img', 'spare1.img']) {
    writeFileSync(join(folder, name), '');
    truncateSync(join(folder, name), limits.MIB);
  }
  const host = (name: string, number: number, more = '') => `  ${name}:
    volume: ${name}
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:${number}", addresses: [10.88.0.${number}/24] }]
    power: { driver: qemu, settings: { interfaces: [] } }
${more}`;
  const file = join(folder, 'understudy.yaml');
  const text = `state: state
api: { host: 127.0.0.1, port: 0, tokensFile: secrets/tokens }
volumes:
  web1: { path: web1.img }
  spare1: { path: spare1.img }
hosts:
${host('web1', 11, '    agentTokenFile: secrets/web1\n')}${host('spare1', 21)}services:
  wiki:
    mode: advise
    lead: web1
    pool: [spare1]
    port: 80
    traffic: reads
    check: { path: / }
    director: { driver: haproxy, settings: { socket: haproxy.sock, backend: wiki, readsBackend: wiki-reads } }
    objective: { signal: probe.milliseconds, below: 400 }
`;
  writeFileSync(file, text);
  return file;
}

/** Those whose command line names the folder, which is this run's own. */
function processesOf(folder: string): readonly number[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) ? [pid] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS_MAX);
  await gone;
  clearTimeout(timer);
}
