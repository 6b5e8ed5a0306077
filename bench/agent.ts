// What the agent costs its host: processor time and memory of the process that the unit starts, at one look a second.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { limits, present } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report } from './report.ts';
import { projectFolder } from './rig/machine.ts';
import { formatSpread, spreadOf } from './rig/pair.ts';

const MINUTES = 5;
const MINUTE_MS = 60_000;
/** The compiler and the first garbage collections are the start's, not the day's. */
const WARM_UP_MS = 15_000;
const END_MS_MAX = 10_000;
const PAGE = `<html>${'x'.repeat(5000)}</html>`;

export const agent: Question = { name: 'agent', run: runAgentQuestion };

interface Situation {
  readonly name: string;
  readonly controllerAnswers: boolean;
}

const SITUATIONS: readonly Situation[] = [
  { name: 'reporting, a probe a second', controllerAnswers: true },
  { name: 'controller away', controllerAnswers: false },
];

async function runAgentQuestion(bench: Bench): Promise<Report> {
  const minutes = bench.options.rounds ?? MINUTES;
  const rows: string[][] = [];
  for (const situation of SITUATIONS) {
    rows.push(await bench.workbench.scope(() => measureAgent(bench, situation, minutes)));
  }
  return {
    name: 'agent',
    title: 'The agent on its host',
    method:
      'The bundled agent, started as its unit starts it, with one look at all sensors a second. Reporting, it asks a service on loopback ' +
      `for a page of ${PAGE.length} bytes each second, judges five signals by windows of 10 and 60 s and by a learned baseline each, and sends a report every 5 s; with its controller away it only tries to. ` +
      `Processor time is that of all its threads, minute by minute after the first ${WARM_UP_MS / 1000} s; memory is looked at each second.`,
    target: 'under 80 MiB of resident memory, and under 1 % of one processor.',
    tables: [
      {
        heading: 'Cost of the agent',
        columns: ['situation', 'minutes', '% of one processor', 'resident at most', 'of that anonymous'],
        rows,
      },
    ],
    notes: [],
  };
}

async function measureAgent(bench: Bench, situation: Situation, minutes: number): Promise<string[]> {
  const service = await serve(bench, (_, response) => response.end(PAGE));
  const instruction = {
    signals: ['probe.milliseconds', 'cpu.pressure', 'memory.pressure', 'io.pressure', 'disk.milliseconds'].map(
      (name) => ({
        name,
        objective: { below: 300, fastSeconds: 10, slowSeconds: 60, share: 0.5 },
        baseline: { direction: 'both', learnSamples: 300 },
        outside: false,
      }),
    ),
    probe: { url: `http://127.0.0.1:${service}/`, contains: null, timeoutMs: 5000 },
    reportSeconds: 5,
  };
  const controller = await serve(bench, (request, response) => {
    if (!situation.controllerAnswers) request.socket.destroy();
    else request.resume().on('end', () => response.end(JSON.stringify(instruction)));
  });
  const pid = startAgent(bench, controller);
  await delay(WARM_UP_MS);
  const shares: number[] = [];
  let [residentBytes, anonymousBytes] = [0, 0];
  for (let minute = 0; minute < minutes; minute += 1) {
    bench.say(`agent: ${situation.name}, minute ${minute + 1} of ${minutes}`);
    const [startMs, startNs] = [performance.now(), processorNs(pid)];
    while (performance.now() - startMs < MINUTE_MS) {
      await delay(1000);
      residentBytes = Math.max(residentBytes, memoryBytes(pid, 'VmRSS'));
      anonymousBytes = Math.max(anonymousBytes, memoryBytes(pid, 'RssAnon'));
    }
    shares.push((processorNs(pid) - startNs) / 1e4 / (performance.now() - startMs));
  }
  const mebibytes = (bytes: number): string => `${(bytes / limits.MIB).toFixed(1)} MiB`;
  const share = formatSpread(spreadOf(shares));
  return [situation.name, String(minutes), share, mebibytes(residentBytes), mebibytes(anonymousBytes)];
}

async function serve(bench: Bench, listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  bench.workbench.defer(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** The options of Node.js are those of the unit. */
function startAgent(bench: Bench, controllerPort: number): number {
  const unit = readFileSync(join(projectFolder(), 'packaging/understudy-agent.service'), 'utf8');
  const flags = present(/^ExecStart=\S+ ((?:--\S+ )*)/m.exec(unit)?.[1], 'the command of the unit').trim();
  const settings = { host: 'bench', controller: `http://127.0.0.1:${controllerPort}`, token: 'bench' };
  const config = join(bench.workbench.folder, bench.workbench.uniqueName('agent.json'));
  writeFileSync(config, JSON.stringify(settings), { mode: 0o600 });
  const bundle = join(projectFolder(), 'dist/run/agent/agent.js');
  const child = spawn(process.execPath, [...flags.split(' '), bundle, '--config', config], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  bench.workbench.track(child);
  bench.workbench.defer(async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), END_MS_MAX);
    await ended;
    clearTimeout(timer);
  });
  return present(child.pid, 'the process of the agent');
}

/** Time on a processor of all threads, nanoseconds: the first field of /proc/PID/task/TID/schedstat (proc(5)). */
function processorNs(pid: number): number {
  const folder = `/proc/${pid}/task`;
  const times = readdirSync(folder).map((tid) =>
    Number(readFileSync(`${folder}/${tid}/schedstat`, 'utf8').split(' ')[0]),
  );
  return times.reduce((sum, ns) => sum + ns, 0);
}

function memoryBytes(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * limits.KIB;
}
