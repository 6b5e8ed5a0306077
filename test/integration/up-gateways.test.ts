// `understudy up` whose hosts come over a network of their own: a real guest boots at its gateway, its certificate is
// renewed while it runs, other hosts of the network reach nothing; and what is said of an installation without
// encryption.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Lan } from '../../guests/mod.ts';
import type { StatusAnswer } from '../../src/api/mod.ts';
import { runTool } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import { type ClientCredentials, credentialsOf, qemuArguments } from '../rig/nbd-host.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { TestAuthority } from '../support/authority.ts';
import { countOn, tinyDisk } from '../support/tiny-guest.ts';
import { WIKI_SERVICE } from '../support/wiki-service.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const NODE = 'san-a';
const FIRST_PORT = 10_810;

let folder: string;
let lan: Lan;
let authority: TestAuthority;
let running: ChildProcess | null = null;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ustg-'));
  lan = await Lan.make({ hosts: ['web1', 'spare1'] });
  authority = await TestAuthority.make();
  mkdirSync(join(folder, 'secrets'));
  writeFileSync(join(folder, 'secrets/tokens'), 'operator alice 0123456789abcdef\n', { mode: 0o600 });
  for (const name of ['web1', 'spare1']) writeFileSync(join(folder, `${name}.img`), tinyDisk('count'));
});

afterEach(async () => {
  if (running !== null && running.exitCode === null && running.signalCode === null) {
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
  }
  running = null;
  // Machines and daemons outlive their controller, not their network.
  await lan.close();
  authority.remove();
  rmSync(folder, { recursive: true, force: true });
});

function configure(storage: string, tls: boolean): string {
  const path = join(folder, 'understudy.yaml');
  const host = (name: string, number: number) => `  ${name}:
    volume: ${name}
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:${number}", addresses: [10.88.0.${number}/24] }]
    power: { driver: qemu, settings: { memoryMiB: 8, accelerator: tcg } }
`;
  const lines = `state: state
${tls ? `tls: { folder: ${authority.folder}, name: ${NODE} }\n` : ''}api: { host: 127.0.0.1, tokensFile: secrets/tokens }
storage: { ${storage} }
volumes:
  web1: { path: web1.img }
  spare1: { path: spare1.img }
hosts:
${host('web1', 91)}${host('spare1', 92)}${WIKI_SERVICE}`;
  writeFileSync(path, lines);
  return path;
}

async function up(file: string): Promise<void> {
  const [ip = '', ...before] = lan.wrap();
  const log = openSync(join(folder, 'up.log'), 'a');
  running = spawn(ip, [...before, process.execPath, PROGRAM, 'up', '--json', '-f', file], {
    stdio: ['ignore', 'pipe', log],
  });
  if (running.stdout === null) throw new Error('no output');
  const line = await createInterface({ input: running.stdout })[Symbol.asyncIterator]().next();
  if (line.done === true) throw new Error(`understudy up has ended: ${said()}`);
}

function said(): string {
  return readFileSync(join(folder, 'up.log'), 'utf8');
}

async function understudy(...args: readonly string[]) {
  const [ip = '', ...before] = lan.wrap();
  const token = ['--token-file', join(folder, 'secrets/token')];
  writeFileSync(join(folder, 'secrets/token'), '0123456789abcdef\n', { mode: 0o600 });
  const own = args[0] === 'doctor' ? [] : token;
  return runTool(ip, [...before, process.execPath, PROGRAM, ...args, ...own], { timeoutMs: patience(100_000) });
}

/** Whether a host of the network reads a volume. */
async function reads(from: string, uri: string, credentials: ClientCredentials | null): Promise<boolean> {
  const [ip = '', ...before] = lan.wrap(lan.host(from).namespace);
  const args = [...qemuArguments(uri, credentials, []), '-c', 'read 0 512'];
  return (await runTool(ip, [...before, 'qemu-io', ...args], { timeoutMs: patience(20_000) })).status === 0;
}

async function countsOn(): Promise<void> {
  const count = (): number => countOn(readFileSync(join(folder, 'web1.img')));
  const before = count();
  await eventually('the guest counts on', () => count() > before + 3);
}

it(
  'gateways - understudy up: a guest boots over TLS and is given a renewed certificate; the network reaches nothing',
  async () => {
    await authority.node(NODE, [lan.address]);
    for (const name of ['web1', 'spare1']) await authority.host(name);
    const file = configure(`listen: ${lan.address}:${FIRST_PORT}-${FIRST_PORT + 5}`, true);
    await up(file);
    expect(await understudy('power', 'web1', 'on', '-f', file)).toMatchObject({ status: 0 });
    await countsOn();
    const { hosts } = JSON.parse((await understudy('status', '--json', '-f', file)).stdout) as StatusAnswer;
    const uri = hosts.find(({ name }) => name === 'web1')?.volume.uri ?? '';
    // The hosts get their ports side by side.
    expect(uri).toMatch(new RegExp(`^nbds://${lan.address.replaceAll('.', '\\.')}:1081[0-5]/web1$`));
    const own = credentialsOf(authority, 'host-web1', lan.address);
    expect(await reads('web1', uri, own)).toBe(true);
    expect(await reads('spare1', uri, credentialsOf(authority, 'host-spare1', lan.address))).toBe(false);
    expect(await reads('spare1', uri.replace('nbds', 'nbd'), null)).toBe(false);

    authority.replace('host-web1', '/O=understudy/OU=host/CN=web1', 300, 'clientAuth');
    await eventually('machine and gateway have it', () =>
      /web1: its machine.*\n(.*\n)*.*web1: its gateway/.test(said()),
    );
    expect(said()).not.toContain('spare1: its');
    await countsOn();

    const { stdout } = await understudy('doctor', '--json', '-f', file);
    const { checks } = JSON.parse(stdout) as { checks: readonly Check[] };
    const found = checks.filter(({ check }) => ['encryption', 'gateways', 'certificate'].includes(check));
    expect(found.map(({ subject, state }) => [subject, state])).toContainEqual(['volumes', 'ok']);
    expect(found.filter(({ state }) => state !== 'ok')).toEqual([]);
  },
  patience(120_000),
);

it(
  'gateways - understudy up: volumes in plain text beyond this machine are told in log, status and doctor',
  async () => {
    const file = configure(`listen: ${lan.address}:10809, insecure: true`, false);
    await up(file);
    expect(await understudy('power', 'web1', 'on', '-f', file)).toMatchObject({ status: 0 });
    await countsOn();
    expect(await reads('spare1', `nbd://${lan.address}:10809/web1`, null)).toBe(true);
    const warning = `volumes at ${lan.address} are not encrypted (storage.insecure)`;
    expect(said()).toContain(warning);
    expect((await understudy('status', '-f', file)).stdout).toContain(warning);
    const { stdout } = await understudy('doctor', '--json', '-f', file);
    const { checks } = JSON.parse(stdout) as { checks: readonly Check[] };
    expect(checks.find(({ subject }) => subject === 'volumes')).toMatchObject({
      check: 'encryption',
      state: 'warning',
    });
  },
  patience(120_000),
);
