// Images that somebody made to do harm, or that a host filled with nonsense: names, sizes, kinds of files, partition
// tables. There is a report or an error of the registry, in bounded time, and nothing outside of the image is touched.
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { codeOf, limits, seededRandom } from '../../src/base/mod.ts';
import { builtinRules, createIdentityEngine, type IdentityEngine, showFindings } from '../../src/identity/mod.ts';
import { fileTree } from '../../src/identity/tree/mod.ts';
import { patience } from '../rig/patience.ts';
import { run } from '../support/disk-image.ts';
import { memoryTree } from '../support/memory-tree.ts';
import {
  type Content,
  checkImage,
  digestOfFile,
  LEAD,
  makeImage,
  SPARE,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const { MIB } = limits;
const { signal } = new AbortController();
const request = { lead: LEAD, understudy: SPARE };
const SEED = 20_261_127;
const MANY = 10_000;
const ERRORS = ['IMAGE_DAMAGED', 'IMAGE_UNSUPPORTED', 'IDENTITY_FAILED', 'IDENTITY_UNKNOWN'];

let folder: string;
let engine: IdentityEngine;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-identity-hostile-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state'), formats: 'detect' });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const fifo: Content = (path) => void run('mkfifo', [path]);
const device: Content = (path) => void run('mknod', [path, 'c', '1', '5']);

test(
  'hostile - kinds of files where nobody expects them, loops, and names that are lines: a report, and only that',
  async () => {
    const tree = writeTree(join(folder, 'tree'), {
      ...systemFiles(),
      '/etc/hosts': fifo,
      '/etc/machine-id': device,
      '/etc/fstab': { link: 'fstab' },
      '/etc/crontab': { link: '../var/../etc/./crontab/x' },
      '/etc/cron.d/a': fifo,
      '/etc/netplan/a.yaml': device,
      '/etc/iscsi/initiatorname.iscsi/in/the/way': 'x',
      '/var/lib/systemd/random-seed': device,
      '/etc/cron.daily/one\nrm -rf': { text: 'echo', mode: 0o755 },
      '/var/spool/postfix/deferred/A/A\nB': 'mail',
      '/var/lib/dhcp/\u001b[2J.leases': 'lease',
      '/etc/wireguard/" ; quit ".conf': 'PrivateKey = x\n',
      '/etc/keepalived/keepalived.conf': `vrrp_instance ${'x'.repeat(64 * 1024)}\n`,
      '/etc/mysql/my.cnf': `server-id = ${'1'.repeat(64 * 1024)}\n`,
      '/etc/udev/rules.d/70-x.rules': `${'ATTR{address}=='.repeat(8_000)}\n`,
      '/etc/postgresql/15/main/a.conf': `${' '.repeat(15_000)}archive_command\n`.repeat(10),
    });
    const image = makeImage(join(folder, 'image'), tree, { sizeBytes: 32 * MIB });
    const before = digestOfFile(image.path);
    const { findings } = await engine.inspect(image.path, LEAD, signal);
    const report = showFindings(findings);
    expect(report).not.toMatch(/[^\n\t -~]/);
    const unknown = new Set(findings.filter(({ action }) => action === 'unknown').map(({ path }) => path));
    for (const path of ['/etc/hosts', '/etc/machine-id', '/etc/keepalived/keepalived.conf', '/etc/mysql/my.cnf'])
      expect([path, unknown.has(path)]).toEqual([path, true]);
    expect(unknown.has('/var/spool/postfix/deferred')).toBe(true);
    const outcome = await engine.plan(image.path, request, signal).then(
      ({ unknown: open }) => open.length,
      (error: unknown) => codeOf(error) ?? String(error),
    );
    if (typeof outcome === 'string') expect(ERRORS).toContain(outcome);
    else expect(outcome).toBeGreaterThanOrEqual(unknown.size);
    expect(digestOfFile(image.path)).toBe(before);
  },
  patience(120_000),
);

test(
  'hostile - ten thousand files in a folder: found, and the queue is emptied',
  async () => {
    const tree = writeTree(join(folder, 'tree'), systemFiles());
    const queue = join(tree, 'var/spool/postfix/deferred');
    const jobs = join(tree, 'etc/cron.d');
    for (const path of [queue, jobs]) mkdirSync(path, { recursive: true });
    for (let index = 0; index < MANY; index += 1) {
      writeFileSync(join(jobs, `job${index}`), '');
      if (index < MANY / 10) writeFileSync(join(queue, `ID${index}`), 'mail');
    }
    const image = makeImage(join(folder, 'image'), tree, { sizeBytes: 64 * MIB });
    const plan = await engine.plan(image.path, request, signal);
    expect(plan.findings.filter(({ rule }) => rule === 'mail-queues')).toMatchObject([
      { path: '/var/spool/postfix/deferred', value: `queued mail (postfix): ${MANY / 10}`, action: 'disable' },
    ]);
    await engine.apply(image.path, plan, signal);
    expect(await engine.verify(image.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
    expect(checkImage(image)).toBe('');
    expect(withMount(image, 'ls -A $M/var/spool/postfix/deferred | wc -l; ls -A $M/etc/cron.d | wc -l')).toBe(
      `0\n${MANY}\n`,
    );
  },
  patience(120_000),
);

test('hostile - more files than anybody has: it says that it did not see all', async () => {
  const files = Array.from({ length: MANY + 1 }, (_, index) => [`/opt/cad/${index}.lic`, ''] as const);
  const deep = `/var/spool/exim4/input/${'a/'.repeat(20)}mail`;
  const tree = fileTree(memoryTree({ ...Object.fromEntries(files), [deep]: '' }));
  const found: string[] = [];
  for (const rule of builtinRules.filter(({ name }) => ['licences', 'mail-queues'].includes(name))) {
    const findings = await rule.find(tree, { lead: LEAD, understudy: null, claimed: new Set() });
    found.push(...findings.map(({ path, value, action }) => `${path} ${value} ${action}`));
  }
  expect(found.sort()).toEqual([
    `/opt/cad a licence: ${MANY} files unknown`,
    '/var/spool/exim4/input queued mail (exim): 0 unknown',
    expect.stringMatching(/^\/\{etc,opt,srv.* too many files unknown$/),
  ]);
});

test.each(['gpt', 'mbr'] as const)(
  'hostile - a %s partition table overwritten at random: an answer or an error of the registry, and never a byte written',
  async (layout) => {
    const random = seededRandom(SEED);
    const tree = writeTree(join(folder, 'tree'), systemFiles());
    const original = makeImage(join(folder, 'image'), tree, { layout, sizeBytes: 16 * MIB });
    const size = statSync(original.path).size;
    const outcomes = new Map<string, number>();
    for (let round = 0; round < 30; round += 1) {
      const path = join(folder, 'damaged');
      copyFileSync(original.path, path);
      const file = openSync(path, 'r+');
      for (let hits = 1 + random.below(30); hits > 0; hits -= 1) {
        // The table's own sectors, at both ends; half of the blows hit the entries of the two partitions.
        const at =
          random.below(2) === 0
            ? layout === 'gpt'
              ? 1024 + random.below(256)
              : 440 + random.below(72)
            : random.below(3000);
        writeSync(file, Buffer.from([random.below(256)]), 0, 1, random.below(4) === 0 ? size - 1 - at : at);
      }
      closeSync(file);
      const before = digestOfFile(path);
      const outcome = await engine.plan(path, { ...request, grow: true }, signal).then(
        () => 'plan',
        (error: unknown) => codeOf(error) ?? String(error),
      );
      expect(['plan', ...ERRORS], `round ${round}`).toContain(outcome);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      expect(digestOfFile(path)).toBe(before);
    }
    // Almost any blow at a GPT shows, for it has check sums.
    expect(outcomes.get('plan') ?? 0).toBeGreaterThan(0);
    expect(outcomes.size).toBeGreaterThan(1);
  },
  patience(120_000),
);

test(
  'hostile - a qcow2 image whose header lies: an error of the registry, and nothing else is opened',
  async () => {
    const tree = writeTree(join(folder, 'tree'), systemFiles());
    const raw = makeImage(join(folder, 'image'), tree, { sizeBytes: 16 * MIB });
    const good = join(folder, 'good.qcow2');
    run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw.path, good]);
    const random = seededRandom(SEED);
    const outcomes = new Set<string>();
    for (let round = 0; round < 25; round += 1) {
      const path = join(folder, 'bad.qcow2');
      copyFileSync(good, path);
      const file = openSync(path, 'r+');
      for (let hits = 1 + random.below(6); hits > 0; hits -= 1)
        writeSync(file, Buffer.from([random.below(256)]), 0, 1, 4 + random.below(100));
      closeSync(file);
      const outcome = await engine.inspect(path, LEAD, signal).then(
        () => 'report',
        (error: unknown) => codeOf(error) ?? String(error),
      );
      expect(['report', ...ERRORS], `round ${round}`).toContain(outcome);
      outcomes.add(outcome);
    }
    expect(outcomes.size).toBeGreaterThan(1);
  },
  patience(120_000),
);
