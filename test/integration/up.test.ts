// `understudy up` in a network of its own, with real store, storage daemon and interface: one state folder has one
// controller.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Lan } from '../../guests/mod.ts';
import { errorRegistry, runTool } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';
import { WIKI_SERVICE } from '../support/wiki-service.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const MIB = 1024 * 1024;

let folder: string;
let lan: Lan;
const running: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ustu-'));
  lan = await Lan.make({});
  mkdirSync(join(folder, 'secrets'));
  writeFileSync(join(folder, 'secrets/tokens'), 'operator alice 0123456789abcdef\n', { mode: 0o600 });
  for (const name of ['web1.img', 'spare1.img']) {
    writeFileSync(join(folder, name), '');
    truncateSync(join(folder, name), MIB);
  }
});

afterEach(async () => {
  for (const child of running.splice(0)) await end(child);
  // The storage daemon outlives its controller, not its network.
  await lan.close();
  rmSync(folder, { recursive: true, force: true });
});

/** An installation with this port, on the one state folder. */
function configure(port: number): string {
  const path = join(folder, `understudy-${port}.yaml`);
  const host = (name: string, number: number) => `  ${name}:
    volume: ${name}
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:${number}", addresses: [10.88.0.${number}/24] }]
    power: { driver: qemu, settings: { interfaces: [] } }
`;
  writeFileSync(
    path,
    `state: state
api: { host: 127.0.0.1, port: ${port}, tokensFile: secrets/tokens }
volumes:
  web1: { path: web1.img }
  spare1: { path: spare1.img }
hosts:
${host('web1', 11)}${host('spare1', 21)}${WIKI_SERVICE}`,
  );
  return path;
}

interface Up {
  readonly child: ChildProcess;
  readonly url: string;
  /** What it has said so far. */
  readonly said: () => string;
}

/** Starts a controller and waits until it says where it answers. */
async function up(file: string): Promise<Up> {
  const [ip = '', ...before] = lan.wrap();
  const args = [...before, process.execPath, PROGRAM, 'up', '--json', '-f', file];
  const child = spawn(ip, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    process.stderr.write(chunk);
  });
  const line = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  if (line.done === true) throw new Error('understudy up has ended');
  return { child, url: (JSON.parse(line.value) as { url: string }).url, said: () => text };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function understudy(...args: readonly string[]) {
  const [ip = '', ...before] = lan.wrap();
  return runTool(ip, [...before, process.execPath, PROGRAM, ...args], { timeoutMs: patience(100_000) });
}

describe('understudy up', () => {
  it(
    'up - a second one on the same state folder is refused, and the first goes on; after a SIGKILL the next may',
    async () => {
      const [file, other] = [configure(7780), configure(7781)];
      const first = await up(file);
      expect(first.url).toBe('http://127.0.0.1:7780');

      // Another port, so that nothing but the state folder stands in the way.
      const second = await understudy('up', '-f', other);
      expect(second).toMatchObject({ status: errorRegistry.CONTROLLER_RUNNING.exit, stdout: '' });
      const refusal = { level: 'error', subject: 'controller', code: 'CONTROLLER_RUNNING' };
      const message = `another process serves ${join(folder, 'state')} (CONTROLLER_RUNNING)`;
      expect(JSON.parse(second.stderr)).toEqual({ time: expect.any(String), ...refusal, message });

      const { status, stdout, stderr } = await understudy('status', '--json', '-f', file);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const view = JSON.parse(stdout) as { hosts: { name: string }[] };
      expect(shapeDifferences(documentedJson('status'), view)).toEqual([]);
      expect(view.hosts.map(({ name }) => name)).toEqual(['web1', 'spare1']);

      const looked = await understudy('doctor', '--json', '-f', file);
      const { checks } = JSON.parse(looked.stdout) as { checks: readonly Check[] };
      const detail = 'served by the controller of this state folder';
      expect(checks.find(({ check }) => check === 'interface')).toMatchObject({ state: 'ok', detail });
      expect(checks.filter(({ check, state }) => check === 'volume' && state !== 'ok')).toEqual([]);

      await end(first.child);
      expect((await up(other)).url).toBe('http://127.0.0.1:7781');
    },
    patience(120_000),
  );

  it(
    'up - in a network it serves with TLS, takes up what `pki renew` has made, and says so',
    async () => {
      const pki = (...args: readonly string[]) => understudy('pki', ...args, '--folder', join(folder, 'pki'));
      expect(await pki('init')).toMatchObject({ status: 0, stderr: '' });
      expect(await pki('issue', 'node', 'san-a', '--address', '10.88.0.1')).toMatchObject({ status: 0, stderr: '' });
      const file = configure(7780);
      const text = readFileSync(file, 'utf8').replace('host: 127.0.0.1', 'host: 10.88.0.1');
      writeFileSync(file, text);
      expect(await understudy('up', '-f', file)).toMatchObject({ status: errorRegistry.CONFIG_INVALID.exit });

      writeFileSync(file, `tls: { folder: pki, name: san-a }\n${text}`);
      const { url, said } = await up(file);
      expect(url).toBe('https://10.88.0.1:7780');
      const remote = ['status', '--url', url, '--cacert', join(folder, 'pki/ca.crt')];
      const token = ['--token-file', join(folder, 'secrets/tokens')];
      expect(await understudy(...remote, ...token)).toMatchObject({ status: 0, stderr: '' });
      const { checks } = JSON.parse((await understudy('doctor', '--json', '-f', file)).stdout) as {
        checks: readonly Check[];
      };
      const detail = 'served by the controller of this state folder';
      expect(checks.find(({ check }) => check === 'interface')).toMatchObject({ state: 'ok', detail });
      expect(checks.find(({ check }) => check === 'certificate')).toMatchObject({ state: 'ok' });
      expect(checks.filter(({ check }) => check === 'expiry').map(({ state }) => state)).toEqual(['ok', 'ok']);

      expect(await pki('renew', 'san-a')).toMatchObject({ status: 0, stderr: '' });
      await eventually('it has read them', () => said().includes('certificates read again: node-san-a until'));
      expect(await understudy(...remote, ...token)).toMatchObject({ status: 0, stderr: '' });
    },
    patience(120_000),
  );

  it(
    'up - what is not encrypted is said at the start, by status and by doctor',
    async () => {
      const file = configure(7780);
      const api = 'host: 10.88.0.1, insecure: true';
      writeFileSync(file, readFileSync(file, 'utf8').replace('host: 127.0.0.1', api));
      const { said } = await up(file);
      const warning = 'the API at 10.88.0.1 is not encrypted (api.insecure)';
      await eventually('it is said', () => said().includes(`"level":"warn","message":"${warning}`));
      expect((await understudy('status', '-f', file)).stdout).toContain(`warning: ${warning}`);
      expect((await understudy('doctor', '-f', file)).stdout).toMatch(
        /^warning +encryption +api: 10.88.0.1 is not encr/m,
      );
    },
    patience(120_000),
  );
});
