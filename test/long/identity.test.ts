// Goal: a pet with a database, queued mail and work that starts by the clock is cloned by hand. The clone, a whole disk
// with a boot loader of its own, starts as another host, and does nothing that the lead does too; the lead, a bare file
// system, does all of it, which shows that it would be seen. (Clones of bare file systems start in
// test/e2e/loop.test.ts.)
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildPet, copySparsely, GATEWAY, LEAD, type Pet, SPARE } from '../../guests/mod.ts';
import { demoImage } from '../../scripts/demo-image.ts';
import { createIdentityEngine, type HostIdentity, type IdentityEngine, type Plan } from '../../src/identity/mod.ts';
import { BOOT_PATIENCE_MS, RunningGuest } from '../rig/guest.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { run } from '../support/disk-image.ts';
import { digestOfFile } from '../support/system-image.ts';

const BUILD_TIMEOUT_MS = patience(600_000);
const TEST_TIMEOUT_MS = 3 * BOOT_PATIENCE_MS;
/** The jobs of the pet run each minute. */
const MINUTE_MS = 100_000;
const GOLDEN = new URL('./identity-pet.golden.txt', import.meta.url);
const signal = new AbortController().signal;

let folder: string;
let pet: Pet;
let engine: IdentityEngine;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ust-identity-'));
  pet = await buildPet({ report: () => undefined, abort: signal });
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
}, BUILD_TIMEOUT_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const understudy: HostIdentity = {
  hostName: SPARE.hostName,
  interfaces: [{ name: SPARE.link, mac: SPARE.mac, addresses: [SPARE.address], gateway: GATEWAY }],
};

/** What differs from build to build: keys, and the names of queued mail. */
function lasting(plan: string): string {
  return plan
    .replace(/SHA256:\S+/g, 'FINGERPRINT')
    .replace(/(-nistp256|-ed25519|-rsa) \S+ \S+/g, '$1 KEY')
    .replace(/maildrop\/[0-9A-F]+/g, 'maildrop/ID')
    .replace(/^plan \S+$/m, 'plan PLAN');
}

async function clone(image: string, name: string): Promise<{ volume: string; plan: Plan }> {
  const volume = join(folder, name);
  await copySparsely(image, volume);
  const request = { lead: await engine.identify(volume, signal), understudy };
  const plan = await engine.plan(volume, request, signal);
  await engine.apply(volume, plan, signal);
  expect(await engine.verify(volume, request, plan, signal)).toEqual({ verified: true, problems: [] });
  return { volume, plan };
}

/** Who a guest says it is, and what it has done since it started. */
async function account(guest: RunningGuest) {
  const [hostName, machineId, addresses, serverId, mail, beat, invoices] = (
    await guest.run(
      'hostname; cat /etc/machine-id; ip -4 -brief address show scope global | awk "{print \\$3}"; ' +
        'mariadb -BN -e "select @@server_id"; postqueue -j | wc -l; wc -l 2>/dev/null < /var/lib/beat || echo 0; ' +
        'wc -l 2>/dev/null < /var/lib/invoices || echo 0',
    )
  )
    .trim()
    .split('\n');
  const counts = { mail: Number(mail), beat: Number(beat), invoices: Number(invoices) };
  return { hostName, machineId, addresses, serverId: Number(serverId), ...counts };
}

async function started(guest: RunningGuest): Promise<void> {
  await guest.serves('/whoami.php');
  await eventually(
    'database and mail server run',
    async () => {
      const states = await guest.run('systemctl is-active mariadb postfix@- cron || true').catch(() => '');
      return states === 'active\n'.repeat(3);
    },
    BOOT_PATIENCE_MS,
  );
}

it('identity - the plan for the pet is the one that was read, the same for both layouts', async () => {
  for (const image of [pet.image, pet.disk]) {
    const plan = await engine.plan(image, { lead: await engine.identify(image, signal), understudy }, signal);
    const shown = lasting(engine.show(plan));
    if (process.env.UNDERSTUDY_WRITE_GOLDEN !== undefined) writeFileSync(GOLDEN, shown);
    expect(shown).toBe(readFileSync(GOLDEN, 'utf8'));
  }
});

it(
  'identity - clones of the pet start as themselves, and send, run and answer nothing twice; their original is untouched',
  async () => {
    const before = [digestOfFile(pet.image), digestOfFile(pet.disk)];
    const { volume, plan } = await clone(pet.disk, 'clone.img');
    const original = join(folder, 'lead.img');
    await copySparsely(pet.image, original);
    const guests = await Promise.all([
      RunningGuest.start(pet, LEAD, original),
      RunningGuest.start(pet, SPARE, volume, { fromDisk: true }),
    ]);
    const [lead, own] = guests;
    try {
      await Promise.all(guests.map(started));
      expect(await lead.hostKeys()).not.toEqual(plan.proof.sshHostKeys);
      expect(await own.hostKeys()).toEqual(plan.proof.sshHostKeys);
      const doing = { mail: 1, beat: expect.any(Number), invoices: 1 };
      const says = await eventually(
        'the lead runs its jobs',
        async () => {
          const all = await account(lead);
          return all.beat > 0 && all.invoices > 0 && all.mail > 0 ? all : null;
        },
        MINUTE_MS,
      );
      expect(says).toEqual({
        hostName: 'web1',
        machineId: LEAD.machineId,
        addresses: LEAD.address,
        serverId: 7,
        ...doing,
      });
      // A minute of the clock has passed for both, since they started together.
      await own.run('until [ $(cut -d. -f1 /proc/uptime) -gt 65 ]; do sleep 1; done');
      const clones = await account(own);
      expect(clones).toMatchObject({ hostName: 'spare1', addresses: SPARE.address, mail: 0, beat: 0, invoices: 0 });
      expect(clones.machineId).toBe(plan.proof.machineId);
      expect([LEAD.machineId, SPARE.machineId]).not.toContain(clones.machineId);
      expect(clones.serverId).toBeGreaterThan(0);
      expect(clones.serverId).not.toBe(7);
      expect(await own.run('systemctl --failed --no-legend')).toBe('');
    } finally {
      await Promise.all(guests.map((guest) => guest.kill()));
    }
    expect([digestOfFile(pet.image), digestOfFile(pet.disk)]).toEqual(before);
  },
  TEST_TIMEOUT_MS,
);

const ROOT = '?offset=2097152';
const SETTING = '/etc/initramfs-tools/initramfs.conf';

it(
  'an initial file system with the lead’s drivers only is made again by the system in the image',
  async () => {
    const disk = join(folder, 'debian.img');
    await copySparsely(await demoImage(() => undefined, signal), disk);
    const root = `${disk}${ROOT}`;
    const setting = join(folder, 'setting');
    writeFileSync(setting, run('debugfs', ['-R', `cat ${SETTING}`, root]).replace('MODULES=most', 'MODULES=dep'));
    run(
      'debugfs',
      ['-w', '-f', '-', root],
      `rm ${SETTING}\ncd /etc/initramfs-tools\nwrite ${setting} initramfs.conf\n`,
    );
    const link = { name: 'eth0', mac: '52:54:00:00:00:70', addresses: ['10.0.2.70/24'] };
    const request = { lead: { hostName: 'golden', interfaces: [link] }, understudy, otherHardware: true };

    const asked = await engine.plan(disk, request, signal);
    expect(asked.unknown.map(({ path }) => path)).toEqual([SETTING]);
    const allowed = createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true });
    const plan = await allowed.plan(disk, request, signal);
    expect(plan.unknown).toEqual([]);
    const [made] = plan.commands ?? [];
    expect(made?.command[0]).toBe('/usr/sbin/update-initramfs');
    const image = join(folder, 'initrd');
    run('debugfs', ['-R', `dump ${made?.path} ${image}`, root]);
    const before = readFileSync(image);
    await allowed.apply(disk, plan, signal);
    expect(await allowed.verify(disk, request, plan, signal)).toEqual({ verified: true, problems: [] });
    run('debugfs', ['-R', `dump ${made?.path} ${image}`, root]);
    expect(readFileSync(image).equals(before)).toBe(false);
    expect(run('debugfs', ['-R', `cat ${SETTING}`, root])).toContain('MODULES=most');
  },
  TEST_TIMEOUT_MS,
);
