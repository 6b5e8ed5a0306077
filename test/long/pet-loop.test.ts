// Goal: the whole loop with the pet itself for a lead: a live database, mail that waits for its next try, and jobs of every minute, all of it
// at work while the disk is cloned. The clone takes reads and does nothing twice; the lead goes on with all of it; afterwards the spare has
// its own disk back.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BUILD_MS, GuestStage, LOOP_MS } from '../e2e/guest-stage.ts';
import { askHaproxyStat } from '../e2e/haproxy-stat.ts';
import { patience } from '../rig/patience.ts';

const WEB = '10.90.0.11';
const SPARE = '10.90.0.21';
/** The jobs of the pet run each minute. */
const MINUTE_MS = 180_000;

let guests: GuestStage;

beforeAll(async () => {
  guests = await GuestStage.make({ pet: true });
}, BUILD_MS);

afterAll(() => guests?.close(), patience(60_000));

/** What a guest is in its database's and its mail server's eyes, and what it has done. */
async function account(address: string) {
  const command =
    'mariadb -BN -e "select @@server_id; select count(*) from trial.entries"; postqueue -j | wc -l; ' +
    'wc -l 2>/dev/null < /var/lib/beat || echo 0; wc -l 2>/dev/null < /var/lib/invoices || echo 0';
  const [serverId, rows, mail, beat, invoices] = (await guests.run(address, command)).trim().split('\n').map(Number);
  return { serverId, rows, mail, beat, invoices };
}

async function servicesOf(address: string): Promise<void> {
  await guests.stage.until(
    `database and mail server of ${address} run`,
    async () => {
      const states = await guests.run(address, 'systemctl is-active mariadb postfix@- || true').catch(() => '');
      return states === 'active\n'.repeat(2);
    },
    LOOP_MS,
  );
}

it(
  'loop - a pet at work is cloned, and its clone sends, runs and answers nothing twice',
  async () => {
    const { stage } = guests;
    const before = await guests.digestOf('spare1');
    await guests.startLead();
    await servicesOf(WEB);
    await guests.run(
      WEB,
      'mariadb -e "create database trial; create table trial.entries (n int primary key auto_increment)"',
    );
    await stage.until(
      'the jobs of the lead have run',
      async () => {
        const { mail = 0, beat = 0, invoices = 0 } = await account(WEB);
        return mail > 0 && beat > 0 && invoices > 0;
      },
      MINUTE_MS,
    );
    // The database is written to all the time, so that the copy is of a moment within its work.
    await guests.run(
      WEB,
      'systemd-run --unit=writer sh -c "while mariadb -e \\"insert into trial.entries () values ()\\"; do sleep 0.2; done"',
    );
    const user = guests.useOnAndOn();
    expect(await stage.json('clone', 'web1', '--to', 'spare1')).toMatchObject({ ok: true });
    const { writes, reads } = await user.stop();
    expect(writes.length).toBeGreaterThan(3);
    expect(writes.filter(({ status }) => status !== 200)).toEqual([]);
    expect(reads).toEqual(writes.map(() => 200));

    await servicesOf(SPARE);
    const cloned = await account(SPARE);
    const { beat: beats = 0 } = await account(WEB);
    // A minute or two of the clock, in which the jobs of the clone would have run as well.
    await stage.until(
      'the jobs of the lead run on',
      async () => ((await account(WEB)).beat ?? 0) > beats + 1,
      MINUTE_MS,
    );
    const [lead, clone] = [await account(WEB), await account(SPARE)];
    expect(lead.serverId).toBe(7);
    expect(clone.serverId).toBeGreaterThan(0);
    expect(clone.serverId).not.toBe(7);
    // InnoDB recovered the moment that was copied: all that was committed, up to then; and nothing is written to it any more.
    expect(clone.rows).toBeGreaterThan(0);
    expect(lead.rows).toBeGreaterThan(clone.rows ?? 0);
    expect(await guests.run(SPARE, 'mariadb-check trial')).toMatch(/trial\.entries\s+OK/);
    expect([lead.mail, clone.mail]).toEqual([expect.any(Number), 0]);
    expect(lead.mail).toBeGreaterThan(0);
    // What the lead's jobs had written until then is in the copy; nothing came to it.
    expect(cloned.beat).toBeGreaterThan(0);
    expect(clone).toEqual(cloned);
    expect(await guests.whoAmI(SPARE)).toMatchObject({ hostName: 'spare1' });
    expect(await guests.run(SPARE, 'systemctl --failed --no-legend')).toBe('');
    const places = (await askHaproxyStat(`${stage.folder}/haproxy.sock`)).filter(({ server }) => server === 'spare1');
    expect(places.map(({ backend }) => backend)).toEqual(['wiki-reads']);

    await stage.json('dismiss', 'spare1');
    await guests.untilEngagement('spare1 is free', ({ state }) => state === 'done');
    expect(await guests.digestOf('spare1')).toBe(before);
    expect((await account(WEB)).rows).toBeGreaterThan(lead.rows ?? 0);
  },
  3 * LOOP_MS,
);
