// Networks as users meet them: `understudy inspect` and `personalise` as processes, on a real image.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runTool } from '../../src/base/mod.ts';
import { patience } from '../rig/patience.ts';
import { inPlace, M1, M2, N1, N2 } from '../support/network-plan.ts';
import { readByTools } from '../support/network-tools.ts';
import { catFile, checkImage, makeImage, type SystemImage, writeTree } from '../support/system-image.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const LAN = '/etc/netplan/50-lan.yaml';
const BOND = `network:
  version: 2
  ethernets:
    one: {match: {macaddress: "${M1}"}}
    two: {match: {macaddress: "${M2}"}}
  bonds:
    bond0:
      interfaces: [one, two]
      addresses: [10.0.0.11/24]
      routes: [{to: default, via: 10.0.0.254}]
`;
const CARD = `hostName: spare1
domain: example.org
interfaces:
  - {name: eth0, mac: "${N1}", addresses: [10.0.0.12/24], gateway: 10.0.0.1}
`;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-network-image-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function imageWith(network: Readonly<Record<string, string>>): SystemImage {
  const files = {
    '/etc/hostname': 'web1\n',
    '/etc/hosts': '127.0.0.1 localhost\n10.0.0.11 web1.example.org web1\n',
    '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
    ...network,
  };
  return makeImage(join(folder, 'web1.img'), writeTree(join(folder, 'tree'), files));
}

function understudy(...args: readonly string[]) {
  return runTool(process.execPath, [PROGRAM, ...args], { env: { TMPDIR: folder }, timeoutMs: patience(60_000) });
}

function described(text: string): string {
  writeFileSync(join(folder, 'spare1.yaml'), text);
  return join(folder, 'spare1.yaml');
}

test('personalise - the cards of a bond are bound to those of the understudy, or asked about', async () => {
  const disk = imageWith({ [LAN]: BOND });
  const refused = await understudy('personalise', disk.path, '--as', described(CARD), '--apply');
  expect(refused.stderr).toContain(`interfaces:${LAN}  ${M2}, part of bond0`);
  expect(catFile(disk, LAN)).toBe(BOND);

  const both = described(`${CARD}  - {name: eth1, mac: "${N2}"}\n`);
  const { status, stdout, stderr } = await understudy('personalise', disk.path, '--as', both, '--apply');
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/applied and verified\n$/);
  expect(checkImage(disk)).toBe('');
  const read = Object.entries(readByTools({ [LAN]: catFile(disk, LAN) }));
  const wanted = Object.entries(readByTools({ [LAN]: BOND })).map(([about, said]) => [about, inPlace(said, 'eth0')]);
  expect(read).toEqual(wanted);
});

test('inspect - addresses that a server gives were not looked for, and that is said', async () => {
  const disk = imageWith({ '/etc/network/interfaces': 'auto eth0\niface eth0 inet dhcp\n' });
  const { status, stdout, stderr } = await understudy('inspect', disk.path);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain('web1.example.org (addresses from a server)');
  expect(stdout).toMatch(/but addresses of the host are not known\n$/);
  expect(stdout).toMatch(/addresses {2}\/etc {2}eth0 .*\n.*they were not looked for/);
});
