// `understudy doctor` in a network of its own: an installation in which all is there, and one in which nothing is.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Lan } from '../../guests/mod.ts';
import { errorRegistry, requireTool, runTool } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import { revokeCertificates } from '../../src/pki/mod.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { TestAuthority } from '../support/authority.ts';
import { WIKI_SERVICE } from '../support/wiki-service.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const MIB = 1024 * 1024;
/** Whether KVM runs guests takes seconds to find out where it does not. */
const EMULATED = '{ driver: qemu, settings: { accelerator: tcg } }';

interface Host {
  readonly address: string;
  readonly mac: string;
  readonly power: string;
}

let folder: string;
let lan: Lan;
const undo: (() => Promise<unknown> | unknown)[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ustd-'));
  lan = await Lan.make({ hosts: ['web1'], taps: ['tap-spare1'] });
  mkdirSync(join(folder, 'secrets'));
  for (const name of ['tokens', 'web1', 'bmc']) {
    writeFileSync(join(folder, 'secrets', name), 'operator alice 0123456789abcdef\n', { mode: 0o600 });
  }
  writeFileSync(join(folder, 'secrets/web1'), '0123456789abcdef-web1\n');
});

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
  await lan.close();
  rmSync(folder, { recursive: true, force: true });
});

function volume(name: string, bytes: number): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

interface Plan {
  readonly lead: string;
  readonly spare: string;
  readonly host: Host;
  readonly spareTap: string;
  readonly port?: number;
  /** Of the spare. @default tcg */
  readonly accelerator?: 'auto' | 'tcg';
  /** To be looked at for duplicates, which takes seconds. @default true */
  readonly links?: boolean;
}

function configure({ lead, spare, host, spareTap, port = 7780, accelerator = 'tcg', links = true }: Plan): string {
  const link = links ? `link: ${lan.link}` : '# no link';
  const path = join(folder, 'understudy.yaml');
  writeFileSync(
    path,
    `state: state
api: { host: 127.0.0.1, port: ${port}, tokensFile: secrets/tokens }
volumes:
  web1: { path: ${lead} }
  spare1: { path: ${spare} }
hosts:
  web1:
    volume: web1
    interfaces: [{ name: eth0, mac: "${host.mac}", addresses: [${host.address}/24] }]
    ${link}
    agentTokenFile: secrets/web1
    power: ${host.power}
  spare1:
    volume: spare1
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:21", addresses: [10.88.0.99/24] }]
    ${link}
    power: { driver: qemu, settings: { accelerator: ${accelerator}, interfaces: [{ tap: ${spareTap}, mac: "52:54:00:90:00:21" }] } }
${WIKI_SERVICE}`,
  );
  return path;
}

async function haproxy(address: string, level = 'admin'): Promise<void> {
  const file = join(folder, 'haproxy.cfg');
  const server = `server web1 ${address}:80`;
  writeFileSync(
    file,
    `global
    stats socket ${folder}/haproxy.sock mode 600 level ${level}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend www
    bind 127.0.0.1:8080
    default_backend wiki
backend wiki
    ${server}
backend wiki-reads
    http-request deny deny_status 503 unless { method GET HEAD }
    ${server}
`,
  );
  const child: ChildProcess = lan.spawn(requireTool('haproxy', 'haproxy'), ['-db', '-f', file], { stdio: 'ignore' });
  undo.push(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  });
  await eventually('HAProxy has its socket', () => readdirSync(folder).includes('haproxy.sock'));
}

async function doctor(file: string, flags: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  const [ip = '', ...before] = lan.wrap();
  const command = [...before, process.execPath, PROGRAM, 'doctor', '-f', file, ...flags];
  return runTool(ip, command, { timeoutMs: patience(100_000), env });
}

async function checksOf(file: string, env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = await doctor(file, ['--json'], env);
  expect(stderr).toBe('');
  const told = JSON.parse(stdout) as { ok: boolean; code: string | null; checks: readonly Check[] };
  return { status, ...told };
}

function find(checks: readonly Check[], check: string, subject: string): Check {
  const found = checks.find((one) => one.check === check && one.subject.startsWith(subject));
  if (found === undefined) throw new Error(`no check ${check} of ${subject} in ${JSON.stringify(checks)}`);
  return found;
}

describe('doctor', () => {
  it('doctor - finds nothing missing where all is there, and changes nothing', async () => {
    const { address, mac } = lan.host('web1');
    await haproxy(address);
    const host = { address, mac, power: EMULATED };
    const plan = { lead: volume('web1.img', MIB), spare: volume('spare1.img', MIB), spareTap: 'tap-spare1', host };
    const file = configure({ ...plan, accelerator: 'auto' });
    mkdirSync(join(folder, 'state/machines'), { recursive: true });
    const before = readdirSync(folder, { recursive: true }).sort();
    const { status, ok, code, checks } = await checksOf(file);
    expect(checks.filter(({ state }) => state === 'failed')).toEqual([]);
    expect({ status, ok, code }).toEqual({ status: 0, ok: true, code: null });
    expect(find(checks, 'network', 'web1').detail).toBe(`it answers at ${address}`);
    expect(find(checks, 'network', 'spare1').detail).toContain('is free');
    expect(find(checks, 'director', 'wiki').detail).toContain('sends requests to web1');
    expect(find(checks, 'interface', '127.0.0.1').detail).toBe('free');
    expect(find(checks, 'interface', 'tokens')).toMatchObject({
      ...{ state: 'warning', detail: expect.stringContaining('tokens in clear text (alice)') },
    });
    const isolation = find(checks, 'isolation', 'images');
    expect(isolation.state).toBe('ok');
    expect(isolation.detail).toMatch(
      /^read by a process of its own user \(65333\), bounded by a (control group|watchdog)$/,
    );
    expect(find(checks, 'acceleration', 'KVM').detail).toContain('guests here');
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(before);
    configure({ ...plan, links: false });
    const { stdout } = await doctor(file);
    expect(stdout).not.toContain('KVM');
    expect(stdout).toMatch(/^ok +volume +web1 \(.*\): file of 1\.00 MiB/m);
    expect(stdout).toMatch(/\d+ checks: 0 failed, \d+ with a warning\n$/);
  });

  it(
    'doctor - names each thing that is missing, and what to do',
    async () => {
      const { address } = lan.host('web1');
      const bmc = 'address: 127.0.0.1, port: 9, user: admin, passwordFile: secrets/bmc';
      const host = { address, mac: '52:54:00:90:00:11', power: `{ driver: ipmi, settings: { ${bmc} } }` };
      const mounted = await mountedLoop();
      const script = "require('net').createServer().listen(7790, '127.0.0.1', () => console.log('listening'))";
      const listener = lan.spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
      undo.push(() => listener.kill('SIGKILL'));
      if (listener.stdout !== null) await once(listener.stdout, 'data');
      const file = configure({
        ...{ lead: mounted, spare: volume('spare1.img', MIB), spareTap: 'tap-nobody', port: 7790, host },
      });
      const { status, ok, code, checks } = await checksOf(file);
      expect({ status, ok, code }).toEqual({ status: errorRegistry.NOT_READY.exit, ok: false, code: 'NOT_READY' });
      const failed = checks.filter(({ state }) => state === 'failed');
      expect(failed.map(({ check, subject }) => `${check} ${subject.split(' ')[0]}`)).toEqual([
        'interface 127.0.0.1:7790',
        'volume web1',
        'power web1',
        'network web1',
        'power spare1',
        'director wiki',
      ]);
      expect(failed.filter(({ remedy }) => remedy === null || remedy === '')).toEqual([]);
      expect(find(checks, 'volume', 'web1').detail).toContain('mounted');
      expect(find(checks, 'power', 'web1').remedy).toContain('ipmitool -I lanplus');
      expect(find(checks, 'network', 'web1').detail).toContain(lan.host('web1').mac);
      expect(find(checks, 'power', 'spare1').remedy).toContain('ip tuntap add dev tap-nobody mode tap');
    },
    patience(120_000),
  );

  it('doctor - a spare whose disk is too small, one that is not there, and a token that two have', async () => {
    writeFileSync(join(folder, 'secrets/web1'), '0123456789abcdef\n');
    const { address, mac } = lan.host('web1');
    await haproxy('10.88.0.77');
    const host = { address, mac, power: '{ driver: qemu, settings: { accelerator: tcg, kernel: /nowhere/vmlinuz } }' };
    const lead = volume('web1.img', 4 * MIB);
    const small = configure({ lead, spare: volume('spare1.img', MIB), spareTap: 'tap-spare1', host });
    const first = (await checksOf(small)).checks;
    expect(find(first, 'sizes', 'wiki')).toMatchObject({ state: 'failed', detail: expect.stringContaining('spare1') });
    expect(find(first, 'power', 'web1').detail).toBe('/nowhere/vmlinuz does not exist');
    expect(find(first, 'director', 'wiki').detail).toContain('10.88.0.77');
    expect(find(first, 'interface', 'tokens')).toMatchObject({
      ...{
        state: 'failed',
        detail: "the token of web1 is somebody else's too",
        remedy: expect.stringContaining('understudy token new'),
      },
    });
    const absent = configure({ lead, spare: join(folder, 'nothing.img'), spareTap: 'tap-spare1', host, links: false });
    expect(find((await checksOf(absent)).checks, 'volume', 'spare1')).toMatchObject({ state: 'failed' });
    expect(readdirSync(folder)).not.toContain('nothing.img');
  });

  it('doctor - a program that is not installed, with the package that has it, and a socket that may only look', async () => {
    const { address, mac } = lan.host('web1');
    await haproxy(address, 'operator');
    const host = { address, mac, power: EMULATED };
    const file = configure({
      ...{ lead: volume('web1.img', MIB), spare: volume('spare1.img', MIB), spareTap: 'tap-spare1', host },
    });
    const kernel = 'identity: { kernelMount: true }\n';
    const signals = `    signals:
      - name: database
        baseline: {}
        prometheus: { url: "http://127.0.0.1:9", query: up }
`;
    writeFileSync(file, `${kernel}${readFileSync(file, 'utf8')}${signals}`);
    const { status, checks } = await checksOf(file, { PATH: '/nowhere' });
    expect(status).toBe(8);
    expect(find(checks, 'signal', 'wiki/database')).toMatchObject({
      state: 'failed',
      detail: expect.stringContaining('http://127.0.0.1:9/api/v1/query cannot be asked'),
    });
    expect(find(checks, 'program', 'bwrap')).toMatchObject({ remedy: 'apt-get install bubblewrap' });
    expect(find(checks, 'rights', 'kernelMount').state).toBe(process.getuid?.() === 0 ? 'ok' : 'failed');
    expect(find(checks, 'agent', 'wiki').detail).toContain('spare1 without an agent');
    const remedy = 'apt-get install qemu-utils';
    expect(find(checks, 'program', 'qemu-img')).toMatchObject({ state: 'failed', remedy });
    const detail = expect.stringMatching(/haproxy\.sock has level operator, and changes need admin$/);
    expect(find(checks, 'director', 'wiki')).toMatchObject({ state: 'failed', detail });
  });

  it('doctor - certificates: what expires, what others can read, and what is for another name', async () => {
    const { address, mac } = lan.host('web1');
    const authority = await TestAuthority.make();
    undo.push(() => authority.remove());
    const host = { address, mac, power: EMULATED };
    const file = configure({
      ...{
        lead: volume('web1.img', MIB),
        spare: volume('spare1.img', MIB),
        spareTap: 'tap-spare1',
        host,
        links: false,
      },
    });
    const tls = `tls: { folder: ${authority.folder}, name: san-a }\n`;
    writeFileSync(file, `${tls}${readFileSync(file, 'utf8').replace('host: 127.0.0.1', 'host: 10.88.0.1')}`);
    const node = async () => find((await checksOf(file)).checks, 'certificate', 'node-san-a');
    expect((await node()).detail).toContain('has no node-san-a.crt');
    await authority.node('san-a', ['10.9.9.9']);
    await authority.host('web1');
    await authority.host('spare1');
    expect(await node()).toMatchObject({
      state: 'failed',
      detail: 'is not for 10.88.0.1, which agents are told (api.advertise)',
      remedy: expect.stringContaining('pki issue node san-a --address 10.88.0.1'),
    });
    await revokeCertificates(authority.folder, 'node-san-a', Date.now());
    await authority.node('san-a', ['10.88.0.1']);
    chmodSync(authority.path('node-san-a.key'), 0o644);
    expect(await node()).toMatchObject({ state: 'failed', detail: expect.stringContaining('mode 0644') });
    chmodSync(authority.path('node-san-a.key'), 0o600);
    authority.replace('host-web1', '/O=understudy/OU=host/CN=web1', 29);
    authority.replace('host-spare1', '/O=understudy/OU=host/CN=spare1', -1);
    const { checks } = await checksOf(file);
    expect(find(checks, 'encryption', 'api')).toMatchObject({ state: 'ok', detail: 'TLS 1.3' });
    expect(find(checks, 'certificate', 'node-san-a').state).toBe('ok');
    expect(find(checks, 'expiry', 'authority').state).toBe('ok');
    expect(find(checks, 'expiry', 'host-web1')).toMatchObject({
      state: 'warning',
      detail: expect.stringMatching(
        /^certificate host-web1 expires on .*, in 28 days: understudy pki renew host-web1$/,
      ),
    });
    expect(find(checks, 'expiry', 'host-spare1')).toMatchObject({
      state: 'failed',
      detail: expect.stringContaining('certificate host-spare1 has expired on'),
    });
  });

  it('doctor - a broken configuration is told line by line', async () => {
    const file = join(folder, 'understudy.yaml');
    writeFileSync(file, 'state: state\napi: { prot: 7780, tokensFile: secrets/tokens }\n');
    const { status, stdout } = await doctor(file);
    expect(status).toBe(errorRegistry.NOT_READY.exit);
    expect(stdout).toMatch(/\(NOT_READY\)\n$/);
    expect(stdout).toMatch(/^FAILED +configuration .*understudy\.yaml:2:8: .*prot/m);
  });
});

async function mountedLoop(): Promise<string> {
  const file = volume('disk.img', 16 * MIB);
  const point = join(folder, 'mounted');
  mkdirSync(point);
  const run = async (name: string, debianPackage: string, args: readonly string[]): Promise<string> => {
    const done = await runTool(requireTool(name, debianPackage), args);
    if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
    return done.stdout.trim();
  };
  const device = await run('losetup', 'mount', ['--find', '--show', file]);
  undo.push(() => run('losetup', 'mount', ['--detach', device]));
  await run('mkfs.ext4', 'e2fsprogs', ['-q', device]);
  await run('mount', 'mount', [device, point]);
  undo.push(() => run('umount', 'mount', [point]));
  return device;
}
