// The installation that the documents show, from its first day to its last: examples/understudy.yaml and
// examples/haproxy.cfg as they are, in a network of its own, and every command of docs/operations.md. Paths are moved
// into a folder of the test. There is no systemd here: for it, the test does what the unit says.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lan } from '../../guests/mod.ts';
import { describeMetrics } from '../../src/api/mod.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';
import type { StatusView } from '../../src/controller/mod.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { PrometheusServer, type Starter } from '../support/prometheus-server.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const PAGE = readFileSync('docs/operations.md', 'utf8');
const UNIT = 'packaging/understudy.service';
const MIB = 1024 * 1024;
/** Proved elsewhere (test/setup), or shows what the test itself reads. */
const NOT_HERE = /^(npm|journalctl) /;

function blocks(language: string, page: string): readonly string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1] ?? '');
}

/** The commands of the page, in their order. */
const COMMANDS = blocks('sh', PAGE).flatMap((block) => block.trimEnd().split('\n'));

let folder: string;
let lan: Lan;
let prometheus: PrometheusServer | null = null;
let running: ChildProcess | null = null;
let log = '';

/** By the beginning of a path, where the test has it. */
function moved(text: string): string {
  const places: readonly (readonly [string, string])[] = [
    ['/var/lib/understudy', join(folder, 'state')],
    ['/etc/understudy', join(folder, 'etc')],
    ['/etc/systemd/system', join(folder, 'units')],
    ['/etc/haproxy/haproxy.cfg', join(folder, 'haproxy.cfg')],
    ['/run/haproxy', folder],
    ['/usr/bin/understudy', join(folder, 'bin/understudy')],
    ['/dev/vg0/', `${folder}/`],
    ['/srv/understudy/', `${folder}/`],
    ['examples/understudy.yaml', join(folder, 'understudy.yaml')],
  ];
  return places.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ustu-'));
  for (const name of ['bin', 'local', 'units']) mkdirSync(join(folder, name));
  symlinkSync(PROGRAM, join(folder, 'local/understudy'));
  chmodSync(PROGRAM, 0o755);
  for (const name of ['web1', 'spare1', 'spare2.raw']) {
    writeFileSync(join(folder, name), '');
    truncateSync(join(folder, name), MIB);
  }
  for (const name of ['understudy.yaml', 'haproxy.cfg']) {
    writeFileSync(join(folder, name), moved(readFileSync(`examples/${name}`, 'utf8')));
  }
  lan = await Lan.make({ subnet: '10.20.0', taps: ['web1', 'spare1', 'spare2'] });
  const { namespace } = await lan.addHost('metrics', { address: '10.20.0.9' });
  const inside: Starter = (program, args) => lan.spawn(program, args, { stdio: 'ignore' }, namespace);
  prometheus = await PrometheusServer.start([], inside, 9090);
});

afterAll(async () => {
  running?.kill('SIGKILL');
  await prometheus?.stop();
  await lan?.close();
  rmSync(folder, { recursive: true, force: true });
});

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${join(folder, 'local')}:${join(folder, 'bin')}:${process.env.PATH}` };
}

/** What a line of the unit says, as systemd would run it. */
function execOf(name: string): string {
  const line = new RegExp(`^${name}=(.*)$`, 'm').exec(readFileSync(join(folder, 'units/understudy.service'), 'utf8'));
  if (line === null) throw new Error(`the unit has no ${name}`);
  return line[1] ?? '';
}

async function start(): Promise<void> {
  const [ip = '', ...before] = lan.wrap();
  const child = spawn(ip, [...before, 'sh', '-c', `exec ${moved(execOf('ExecStart'))}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: environment(),
  });
  running = child;
  const begun = log.length;
  child.stderr.on('data', (bytes: Buffer) => {
    log += bytes.toString();
  });
  await eventually(
    () => `it answers: ${log}`,
    () => {
      if (child.exitCode !== null) throw new Error(`understudy up has ended: ${log}`);
      return log.slice(begun).includes('answers at https://10.20.0.1:7780');
    },
  );
}

async function stop(): Promise<void> {
  const child = running;
  running = null;
  if (child === null || child.exitCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await gone).toEqual([0, null]);
}

/** In the place of systemd, by the unit. */
async function systemctl(words: string): Promise<void> {
  switch (words) {
    case 'daemon-reload': {
      const { status, stderr } = await runTool(requireTool('systemd-analyze', 'systemd'), ['verify', UNIT]);
      // What is not installed on this machine is no fault of the unit.
      expect(stderr.replaceAll(/^.*is not executable: No such file or directory\n/gm, '')).toBe('');
      expect(status).toBeLessThanOrEqual(1);
      return;
    }
    case 'enable --now understudy':
    case 'start understudy':
      return start();
    case 'reload understudy':
      return expectGood(execOf('ExecReload'));
    case 'restart understudy':
      await stop();
      return start();
    case 'stop understudy':
    case 'disable --now understudy':
      return stop();
    default:
      throw new Error(`nothing here does "systemctl ${words}"`);
  }
}

async function expectGood(command: string): Promise<void> {
  const { status, stdout, stderr } = await run(command);
  if (status !== 0) throw new Error(`${command}: ${status} ${stdout}${stderr}${log}`);
}

async function run(command: string) {
  const [ip = '', ...before] = lan.wrap();
  const args = [...before, 'bash', '-ec', moved(command)];
  return runTool(ip, args, { timeoutMs: patience(100_000), env: environment() });
}

async function follow(command: string): Promise<void> {
  if (NOT_HERE.test(command)) return;
  const asked = /^systemctl (.*)$/.exec(command)?.[1];
  if (asked !== undefined) return systemctl(asked);
  if (command.startsWith('understudy dismiss ')) {
    // Somebody is to be dismissed: there was no engagement until now, and the controller says so.
    expect((await run(command)).stderr).toContain('spare1 is not engaged');
    return;
  }
  await expectGood(command);
  if (command.startsWith('haproxy -c')) {
    lan.spawn('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' });
    await eventually('HAProxy listens', () => existsSync(join(folder, 'understudy.sock')));
  }
  if (command.startsWith('understudy reload --dry-run')) {
    const file = join(folder, 'etc/understudy.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('mode: advise', 'mode: approve'));
  }
}

async function status(): Promise<StatusView> {
  return JSON.parse((await run('understudy status --json -f /etc/understudy/understudy.yaml')).stdout) as StatusView;
}

describe('the installation that the documents show', () => {
  it(
    'operations - every command does what the page says, and the examples fit together',
    async () => {
      expect(COMMANDS.length).toBeGreaterThan(30);
      const uninstall = COMMANDS.findIndex((command) => command.startsWith('understudy dismiss '));
      for (const command of COMMANDS.slice(0, uninstall)) await follow(command);

      const view = await status();
      expect(view.services.map(({ name, lead, mode }) => [name, lead, mode])).toEqual([['wiki', 'web1', 'approve']]);
      // The hosts get their ports side by side.
      const places = view.hosts.map(({ name, volume }) => [name, new URL(volume.uri ?? '')] as const);
      expect(places.map(([name, { hostname, pathname }]) => [name, hostname, pathname])).toEqual(
        ['web1', 'spare1', 'spare2'].map((name) => [name, '10.20.0.1', `/${name}`]),
      );
      expect(places.map(([, { port }]) => port).sort()).toEqual(['10810', '10811', '10812']);
      // The socket is HAProxy's, and it knows the lead; the machine starts with its network card and its certificate.
      expect(log).not.toContain('director/wiki');
      expect((await run('understudy power web1 on -f /etc/understudy/understudy.yaml')).stdout).toBe('web1 is on\n');
      const { stdout } = await run('ip -o link show web1');
      expect(stdout).toContain('LOWER_UP');

      for (const command of COMMANDS.slice(uninstall)) {
        if (command.startsWith('systemctl disable')) await killMachine();
        await follow(command);
      }
      for (const gone of ['state', 'etc', 'units/understudy.service'])
        expect(existsSync(join(folder, gone))).toBe(false);
      await eventually('the storage daemon has ended', async () => {
        return !(await run('ps -eo args')).stdout.includes(`${folder}/state/node/daemon`);
      });
    },
    patience(180_000),
  );

  it('operations - the certificates and tokens of the page are those that the example asks for', () => {
    const wanted = [...readFileSync('examples/understudy.yaml', 'utf8').matchAll(/^# {3}(understudy .*)$/gm)];
    expect(wanted.length).toBeGreaterThan(5);
    for (const [, command] of wanted) expect(COMMANDS).toContain(command);
  });

  it('operations - Prometheus takes the alarms, each is explained, and each asks for a metric that there is', async () => {
    const [rules = ''] = blocks('yaml', PAGE);
    const file = join(folder, 'rules.yaml');
    writeFileSync(file, rules);
    const {
      status: exit,
      stderr,
      stdout,
    } = await runTool(requireTool('promtool', 'prometheus'), ['check', 'rules', file]);
    expect({ exit, stderr, stdout }).toMatchObject({ exit: 0 });
    const alarms = [...rules.matchAll(/alert: (\w+)/g)].map((match) => match[1] ?? '');
    for (const alarm of alarms) expect(PAGE).toContain(`| ${alarm} |`);
    const names = new Set((await describeMetrics()).map(({ name }) => name));
    const asked = [...rules.matchAll(/\bunderstudy_\w+/g)].map(([name]) => name);
    expect(asked.filter((name) => !names.has(name))).toEqual([]);
  });

  it('operations - one subnet, and one socket of HAProxy, in all documents and examples', () => {
    const pages = [
      'examples/understudy.yaml',
      'examples/haproxy.cfg',
      'docs/operations.md',
      'docs/haproxy.md',
      'docs/tls.md',
    ];
    const more = [
      'docs/agent.md',
      'docs/cli.md',
      'docs/configuration.md',
      'docs/http-api.md',
      'docs/metrics.md',
      'docs/policy.md',
    ];
    for (const page of [...pages, ...more]) {
      const text = readFileSync(page, 'utf8');
      const addresses = [...text.matchAll(/\b(?:10|172|192)\.\d+\.\d+\.\d+\b/g)].map(([address]) => address);
      expect(
        addresses.filter((address) => !address.startsWith('10.20.0.')),
        page,
      ).toEqual([]);
      const sockets = [...text.matchAll(/\/run\/haproxy\/[\w.]+/g)].map(([socket]) => socket);
      expect(
        sockets.filter((socket) => socket !== '/run/haproxy/understudy.sock'),
        page,
      ).toEqual([]);
      expect(text, page).not.toMatch(/http:\/\/10\.20\.0\.1:7780/);
    }
  });
});

/** As a shutdown from inside would. */
async function killMachine(): Promise<void> {
  const { stdout } = await run(`fuser ${join(folder, 'state/machines/web1.lock')} 2>/dev/null || true`);
  for (const id of stdout.trim().split(/\s+/).filter(Boolean)) process.kill(Number(id), 'SIGKILL');
}
