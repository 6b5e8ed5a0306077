// Real guests whose disks come over TLS: whatever becomes of gateways and certificates, a guest sees no error. The
// guest stands still for ever at the first write that fails, so one that counts on has seen none.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { machineCertificates } from '../../bin/gateway-tls.ts';
import { type Call, memoryEpochGate } from '../../src/base/mod.ts';
import { QemuPower, qemuSettings } from '../../src/power/mod.ts';
import { callOf } from '../conformance/storage.ts';
import { killMachinesWith, machinesWith } from '../rig/machines.ts';
import { NODE, StorageStage } from '../rig/storage-stage.ts';
import { eventually } from '../rig/wait.ts';
import type { TestAuthority } from '../support/authority.ts';
import { countOn, TINY_DISK_BYTES, tinyDisk } from '../support/tiny-guest.ts';

const HOSTS = ['web1', 'spare1'];
const CALL: Call = { epoch: 1, signal: new AbortController().signal };
const MORE = 5;
const SHARED = '/run/understudy-tls';

interface Guests {
  readonly stage: StorageStage;
  readonly authority: TestAuthority;
  readonly power: QemuPower;
  /** Folder of the machines. */
  readonly folder: string;
  /** Resolves when the guest has written some times more. */
  countsOn(host: string): Promise<void>;
  gatewayOf(host: string): number | undefined;
}

/** Private keys below the folder of machines, and where root's machines get theirs. */
function keysIn(folder: string): readonly string[] {
  const uuids = machinesWith(folder).map((pid) => {
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return args[args.indexOf('-uuid') + 1] ?? '';
  });
  const shared = existsSync(SHARED) ? readdirSync(SHARED) : [];
  return [
    ...(readdirSync(folder, { recursive: true }) as string[]).filter((name) => name.endsWith('key.pem')),
    ...shared.filter((name) => uuids.some((uuid) => name.startsWith(uuid))),
  ];
}

async function onGuests(play: (guests: Guests) => Promise<void>): Promise<void> {
  const disk = Buffer.from(tinyDisk('count'));
  const folder = mkdtempSync(join(tmpdir(), 'ust-power-'));
  const stage = await StorageStage.make({
    volumes: HOSTS.map((name) => ({ name, bytes: TINY_DISK_BYTES, patch: { offsetBytes: 0, bytes: disk } })),
    network: { hosts: HOSTS },
  });
  const { authority } = stage;
  try {
    if (authority === null) throw new Error('the stage has no certificates');
    const uris = new Map<string, string>();
    for (const host of HOSTS) uris.set(host, (await stage.node.attach(host, host, callOf())).uri);
    const settings = qemuSettings.parse({ memoryMiB: 8, accelerator: 'tcg' });
    const power = new QemuPower({
      hosts: new Map(HOSTS.map((host) => [host, settings])),
      folder,
      gate: memoryEpochGate(),
      diskOf: async (host) => uris.get(host) ?? null,
      certificatesOf: machineCertificates(authority.folder, NODE),
    });
    const written = (host: string): number => countOn(stage.content(host));
    const countsOn = async (host: string): Promise<void> => {
      const before = written(host);
      await eventually(`${host} counts on`, () => written(host) >= before + MORE);
    };
    const gatewayOf = (host: string) => stage.daemons.get(stage.gatewayOf(uris.get(host) ?? ''));
    for (const host of HOSTS) await power.on(host, CALL);
    for (const host of HOSTS) await eventually(`${host} counts`, () => written(host) > 0 && written(host) < 2 ** 20);
    await play({ stage, authority, power, folder, countsOn, gatewayOf });
  } finally {
    await killMachinesWith(folder);
    rmSync(folder, { recursive: true });
    await stage.close();
  }
}

it('gateways - a guest boots over TLS, leaves no key in a file, and goes on when daemons are killed', () =>
  onGuests(async ({ stage, folder, power, countsOn }) => {
    expect(keysIn(folder)).toEqual([]);
    for (const name of stage.daemons.keys()) await stage.killDaemon(name);
    for (const host of HOSTS) await countsOn(host);
    await power.off('web1', CALL);
    expect(keysIn(folder)).toEqual([]);
  }));

it('gateways - a guest is given the new certificate of its host while it runs; the old one, revoked, opens nothing', () =>
  onGuests(async ({ stage, authority, power, folder, countsOn, gatewayOf }) => {
    const machines = machinesWith(folder);
    const [own, other] = [gatewayOf('web1'), gatewayOf('spare1')];
    expect(await power.renew('web1', CALL.signal)).toBe(false);
    await authority.revoke('host-web1');
    await authority.host('web1');
    expect(await power.renew('web1', CALL.signal)).toBe(true);
    expect(await stage.node.renewCertificates()).toEqual(['web1']);
    await countsOn('web1');
    await countsOn('spare1');
    expect(await power.renew('web1', CALL.signal)).toBe(false);
    expect(gatewayOf('web1')).not.toBe(own);
    expect(gatewayOf('spare1')).toBe(other);
    expect(machinesWith(folder)).toEqual(machines);
    expect(keysIn(folder)).toEqual([]);
  }));

it("gateways - for a renewed certificate only that host's guest connects again, and sees no error", () =>
  onGuests(async ({ stage, authority, power, countsOn, gatewayOf }) => {
    const other = gatewayOf('spare1');
    authority.replace('host-web1', '/O=understudy/OU=host/CN=web1', 100, 'clientAuth');
    expect(await power.renew('web1', CALL.signal)).toBe(true);
    expect(await power.renew('spare1', CALL.signal)).toBe(false);
    expect(await stage.node.renewCertificates()).toEqual(['web1']);
    for (const host of HOSTS) await countsOn(host);
    expect(gatewayOf('spare1')).toBe(other);
  }));
