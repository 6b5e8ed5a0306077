// The guests as real machines. The first run on a computer builds them from Debian's packages.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildGuests, type Guests, LEAD, makeVolume, readFromImage, SPARE } from '../../guests/mod.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';
import { BOOT_PATIENCE_MS, RunningGuest } from '../rig/guest.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';

/** One to four minutes of building, and as long again on a computer that does other things too. */
const BUILD_TIMEOUT_MS = patience(600_000);
const TEST_TIMEOUT_MS = 2 * BOOT_PATIENCE_MS;
const never = new AbortController().signal;
const AGENT = { host: 'web1', controller: 'http://10.90.0.1:7780', token: 'abc' };
/** In the place of the agent: says who runs it, and with which settings. */
const BUNDLE = `
const { readFileSync, writeFileSync } = require('node:fs');
const [, , option, path] = process.argv;
const { host } = JSON.parse(readFileSync(path, 'utf8'));
writeFileSync('/dev/console', 'agent of ' + host + ' with ' + option + ' on ' + process.version + '\\n');
setInterval(() => undefined, 60_000);
`;

let guests: Guests;
let folder: string;

async function textIn(image: string, path: string): Promise<string | null> {
  const bytes = await readFromImage(image, path);
  return bytes === null ? null : Buffer.from(bytes).toString();
}

async function checkFileSystem(image: string, ...options: readonly string[]): Promise<number | null> {
  const done = await runTool(requireTool('e2fsck', 'e2fsprogs'), ['-f', ...options, image], {
    timeoutMs: patience(60_000),
  });
  return done.status;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ust-guests-'));
  guests = await buildGuests({ report: () => undefined, abort: never });
}, BUILD_TIMEOUT_MS);

afterAll(() => rmSync(folder, { recursive: true }));

describe('images of the guests', () => {
  it('are clean file systems, and nothing in the spare says that it is the lead', async () => {
    for (const image of [guests.webImage, guests.spareImage]) expect(await checkFileSystem(image, '-n')).toBe(0);
    const paths = ['/etc/hostname', '/etc/hosts', '/etc/network/interfaces', '/etc/machine-id'];
    const keys = ['ed25519', 'ecdsa', 'rsa'].flatMap((type) => [
      `/etc/ssh/ssh_host_${type}_key`,
      `/etc/ssh/ssh_host_${type}_key.pub`,
    ]);
    for (const path of [...paths, ...keys]) {
      const [web, spare] = [await textIn(guests.webImage, path), await textIn(guests.spareImage, path)];
      expect([path, web === null, spare === null]).toEqual([path, false, false]);
      expect([path, spare]).not.toEqual([path, web]);
      expect(spare).not.toMatch(new RegExp(`web1|10\\.90\\.0\\.11|${LEAD.machineId}`));
    }
  });
});

describe('the lead', () => {
  let guest: RunningGuest;
  let volume: string;

  beforeAll(async () => {
    volume = join(folder, 'web1.img');
    const bundle = join(folder, 'agent.js');
    writeFileSync(bundle, BUNDLE);
    await makeVolume(guests.webImage, volume, { bundle, settings: AGENT });
    expect(await checkFileSystem(volume, '-n')).toBe(0);
    guest = await RunningGuest.start(guests, LEAD, volume);
    await guest.serves('/whoami.php');
  }, TEST_TIMEOUT_MS);

  afterAll(() => guest?.kill());

  it('serves its wiki, and says who it is', async () => {
    const page = await guest.serves('/doku.php?id=machines');
    expect(page.headers.get('x-served-by')).toBe('web1');
    const text = await page.text();
    expect(text).toContain('Workshop Handbook');
    expect(text).toContain('Laser cutter');
    const { hostName, machineId } = LEAD;
    expect(await (await guest.fetch('/whoami.php')).json()).toEqual({ hostName, address: '10.90.0.11', machineId });
    const pages = ['start', 'suppliers', 'safety', 'operations:opening', 'operations:closing'];
    for (const id of pages) expect((await guest.fetch(`/doku.php?id=${id}`)).status).toBe(200);
    expect((await guest.fetch('/data/pages/start.txt')).status).toBe(403);
  });

  it('costs what it is asked to cost', async () => {
    expect(await (await guest.fetch('/burn.php?ms=50')).text()).toBe('burned 50 ms\n');
  });

  it('starts an agent with the Node.js of Debian, and cron and SSH', async () => {
    await eventually('the agent speaks', () => /agent of web1 with --config on v18\./.test(guest.said));
    expect(await guest.run('systemctl is-active cron ssh nginx php8.2-fpm understudy-agent')).toBe(
      'active\n'.repeat(5),
    );
    expect(await guest.run('systemctl --failed --no-legend')).toBe('');
  });

  it('counts writes so that page and log agree at every instant, also when the plug is pulled', async () => {
    expect(await (await guest.fetch('/counter.php')).json()).toEqual({ count: 0, last: 0, lines: 0 });
    for (const count of [1, 2]) {
      const answer = await guest.fetch('/counter.php', { method: 'POST' });
      expect(await answer.json()).toEqual({ count, last: count, lines: count });
    }
    let acknowledged = 2;
    const writing = (async () => {
      for (;;) {
        const answer = await guest.fetch('/counter.php', { method: 'POST' });
        acknowledged = ((await answer.json()) as { count: number }).count;
      }
    })().catch(() => 'the plug was pulled');
    await eventually('a few more', () => acknowledged >= 5);
    expect(await guest.run('grep -c "POST /counter.php" /var/log/nginx/access.log')).not.toBe('0\n');
    await guest.kill();
    await writing;
    // The journal is replayed, and nothing else is wrong.
    expect([0, 1]).toContain(await checkFileSystem(volume, '-p'));
    const count = Number(await textIn(volume, '/var/lib/counter/count'));
    const lines = (await textIn(volume, '/var/lib/counter/log'))?.trimEnd().split('\n') ?? [];
    expect(lines.map((line) => Number(line.split(' ')[0]))).toEqual(lines.map((_, index) => index + 1));
    expect([lines.length, lines.length - 1]).toContain(count);
    expect(count).toBeGreaterThanOrEqual(acknowledged);
  });
});

describe('the spare', () => {
  it(
    'is another machine, with a page of its own, and can be switched off from inside',
    async () => {
      const volume = join(folder, 'spare1.img');
      await makeVolume(guests.spareImage, volume);
      const guest = await RunningGuest.start(guests, SPARE, volume);
      try {
        const page = await guest.serves('/');
        expect(page.headers.get('x-served-by')).toBe('spare1');
        expect(await page.text()).toContain('spare1 is waiting');
        const { hostName, machineId } = SPARE;
        const answer = await guest.serves('/whoami.php');
        expect(await answer.json()).toEqual({ hostName, address: '10.90.0.21', machineId });
        expect((await guest.fetch('/doku.php')).status).toBe(404);
        expect(await guest.run('systemctl is-enabled understudy-agent || true')).toBe('disabled\n');
        // The connection may end before the answer.
        await guest.run('systemctl poweroff').catch(() => 'it is going down');
        await guest.ended();
      } finally {
        await guest.kill();
      }
    },
    TEST_TIMEOUT_MS,
  );
});
