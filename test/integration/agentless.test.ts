// A service whose hosts have no agent: judged by HAProxy's checks and by Prometheus alone, all of them real, in a network of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Lan } from '../../guests/mod.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';
import type { DecisionView, StatusView } from '../../src/controller/mod.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { PrometheusServer } from '../support/prometheus-server.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const PATIENCE_MS = patience(90_000);

/** Answers after as many milliseconds as its file says. */
const WEB = `
const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
const [, file] = process.argv;
const delay = () => Number(readFileSync(file, 'utf8'));
createServer((_, response) => setTimeout(() => response.end('here'), delay())).listen(80);`;

/** Users: ten requests a second, whatever comes of them. */
const USERS = `setInterval(() => fetch('http://10.88.0.1/').then((r) => r.text()).catch(() => 0), 100);`;

const HAPROXY = (folder: string): string => `global
    stats socket ${folder}/haproxy.sock mode 600 level admin
defaults
    mode http
    timeout connect 3s
    timeout client 30s
    timeout server 30s
    timeout check 10s
frontend www
    bind 10.88.0.1:80
    default_backend wiki
backend wiki
    option httpchk GET /
    server web1 10.88.0.11:80 check inter 500ms
`;

let folder: string;
let lan: Lan;
let prometheus: PrometheusServer;
const running: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ustu-'));
  lan = await Lan.make({ hosts: ['web1', 'spare1'] });
  mkdirSync(join(folder, 'secrets'));
  writeFileSync(join(folder, 'secrets/tokens'), 'operator alice 0123456789abcdef\n', { mode: 0o600 });
  for (const name of ['web1.img', 'spare1.img']) {
    writeFileSync(join(folder, name), '');
    truncateSync(join(folder, name), 1024 * 1024);
  }
  writeFileSync(join(folder, 'haproxy.cfg'), HAPROXY(folder));
  writeFileSync(join(folder, 'understudy.yaml'), configuration());
  answersAfter(1);
  const inside = (program: string, args: readonly string[]) => lan.spawn(program, args, { stdio: 'ignore' });
  lan.spawn(process.execPath, ['-e', WEB, join(folder, 'delay')], { stdio: 'ignore' }, lan.host('web1').namespace);
  inside(requireTool('haproxy', 'haproxy'), ['-W', '-db', '-f', join(folder, 'haproxy.cfg')]);
  inside(process.execPath, ['-e', USERS]);
  prometheus = await PrometheusServer.start(['10.88.0.1:9100'], inside, 9090);
  prometheus.exporter('10.88.0.1:9100');
  prometheus.write('database_wait_ms', 5);
});

afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await gone;
  }
  await prometheus?.stop();
  // The storage daemon outlives its controller, not its network.
  await lan.close();
  rmSync(folder, { recursive: true, force: true });
});

function answersAfter(milliseconds: number): void {
  writeFileSync(join(folder, 'delay'), String(milliseconds));
}

function configuration(): string {
  const host = (name: string, number: number) => `  ${name}:
    volume: ${name}
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:${number}", addresses: [10.88.0.${number}/24] }]
    power: { driver: qemu, settings: { interfaces: [] } }
`;
  return `state: state
api: { host: 127.0.0.1, port: 7780, tokensFile: secrets/tokens }
volumes:
  web1: { path: web1.img }
  spare1: { path: spare1.img }
hosts:
${host('web1', 11)}${host('spare1', 12)}services:
  wiki:
    lead: web1
    pool: [spare1]
    port: 80
    traffic: all
    director: { driver: haproxy, settings: { socket: haproxy.sock, backend: wiki } }
    signals:
      - { name: director.checkMilliseconds, objective: { below: 200, fast: 8s, slow: 12s } }
      - name: database
        outside: true
        objective: { below: 50, fast: 8s, slow: 12s }
        prometheus: { url: "http://127.0.0.1:9090", query: database_wait_ms, every: 1s }
      - name: machine
        objective: { below: 100, fast: 8s, slow: 12s }
        prometheus: { url: "http://127.0.0.1:9090", query: 'vector(1) unless on() up{instance="{{address}}:1"}', every: 1s }
`;
}

async function understudy<T>(...args: readonly string[]): Promise<T> {
  const [ip = '', ...before] = lan.wrap();
  const command = [...before, process.execPath, PROGRAM, ...args, '--json', '-f', join(folder, 'understudy.yaml')];
  const { stdout, stderr } = await runTool(ip, command);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

async function decision(): Promise<DecisionView | null> {
  return (await understudy<StatusView>('status')).services[0]?.lastDecision ?? null;
}

function untilDecision(what: string, is: (seen: DecisionView) => boolean): Promise<DecisionView> {
  let last: DecisionView | null = null;
  return eventually(
    () => `${what}; the last decision was ${JSON.stringify(last)}`,
    async () => {
      last = await decision();
      return last !== null && is(last) ? last : null;
    },
    PATIENCE_MS,
  );
}

describe('a service without agents', () => {
  it(
    'agentless - is judged by the checks of HAProxy and by Prometheus, and what lies outside calls for no host',
    async () => {
      const [ip = '', ...before] = lan.wrap();
      const args = [...before, process.execPath, PROGRAM, 'up', '--json', '-f', join(folder, 'understudy.yaml')];
      const child = spawn(ip, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      running.push(child);
      await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();

      await untilDecision('healthy', ({ verdict }) => verdict === 'healthy');
      answersAfter(500);
      const advised = await untilDecision('a host', ({ action }) => action === 'scale-out');
      expect(advised).toMatchObject({ outcome: 'advised' });
      expect(['degraded', 'failing']).toContain(advised.verdict);
      expect(advised.reason).toContain('on web1; spare1 is free');
      const facts = advised.evidence.map(({ host, text }) => `${host}: ${text}`);
      expect(facts).toContainEqual(
        expect.stringMatching(/^web1: director\.checkMilliseconds above 200 in \d+ of \d+ samples/),
      );

      prometheus.write('database_wait_ms', 900);
      const refused = await untilDecision('the other cause', ({ outcome }) => outcome === 'refused');
      expect(refused.reason).toContain('lies outside of the host: database above 50');

      prometheus.write('database_wait_ms', 5);
      answersAfter(1);
      await untilDecision('healthy again', ({ verdict }) => verdict === 'healthy');
      await prometheus.stop();
      const unknown = await untilDecision('nothing known', ({ verdict }) => verdict === 'unknown');
      expect(unknown.action).toBe('none');
      const { evidence } = (await understudy<StatusView>('status')).services[0] ?? { evidence: [] };
      expect(evidence.map(({ text }) => text)).toContainEqual(
        expect.stringMatching(
          /^database has no value: http:\/\/127\.0\.0\.1:9090\/api\/v1\/query cannot be asked: .*ECONNREFUSED/,
        ),
      );
    },
    patience(400_000),
  );
});
