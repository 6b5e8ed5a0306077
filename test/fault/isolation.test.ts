// What reads an image runs in a process that can do no harm, and its end is the end of one question. Attacks by what an
// image holds, and looks at the process from outside while it works.
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf, messageOf } from '../../src/base/mod.ts';
import { createIdentityEngine, type IdentityEngine, type IdentityOptions, ruleSet } from '../../src/identity/mod.ts';
import { OWN_USER } from '../../src/sandbox/mod.ts';
import { patience } from '../rig/patience.ts';
import { type Content, digestOfFile, LEAD, makeImage, SPARE, systemFiles, writeTree } from '../support/system-image.ts';

const { signal } = new AbortController();
const request = { lead: LEAD, understudy: SPARE };
let folder: string;
let engine: IdentityEngine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-isolation-'));
  engine = engineWith();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function engineWith(options: IdentityOptions = {}): IdentityEngine {
  return createIdentityEngine({ stateFolder: join(folder, 'state'), ...options });
}

function imageWith(files: Readonly<Record<string, Content>>): string {
  return makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), { ...systemFiles(), ...files })).path;
}

const DEEP = 20_000;
const deepYaml: readonly (readonly [string, string])[] = [
  ['sequences on one line', '- '.repeat(DEEP)],
  ['flow sequences', '['.repeat(DEEP)],
  ['flow maps', '{'.repeat(DEEP)],
  ['flow maps with keys', '{a: '.repeat(DEEP)],
  ['explicit keys', '? '.repeat(DEEP)],
  ['maps on one line', 'a: '.repeat(DEEP)],
  ['anchors', '&a '.repeat(DEEP)],
  ['tags', '!a '.repeat(DEEP)],
  ['levels of indentation', Array.from({ length: 500 }, (_, level) => `${' '.repeat(level)}a:`).join('\n')],
  ['sequences in sequences, one a line', Array.from({ length: 500 }, (_, level) => `${' '.repeat(level)}-`).join('\n')],
  ['aliases', `a: &a [x]\n${Array.from({ length: 200 }, (_, n) => `b${n}: &b${n} [*a, *a]`).join('\n')}`],
  ['one line', `network: "${'x'.repeat(200_000)}`],
  ['blanks', ' '.repeat(200_000)],
  ['line ends', '\n'.repeat(200_000)],
  ['comments', '#'.repeat(200_000)],
  ['quotes', '"\\'.repeat(50_000)],
];

describe('a text that is nested or long', () => {
  test(
    'as YAML is not given to its parser, and the rest of the image is inspected',
    async () => {
      const files = Object.fromEntries(deepYaml.map(([, text], n) => [`/etc/netplan/${n + 10}.yaml`, text]));
      const { findings } = await engine.inspect(imageWith(files), LEAD, signal);
      const rules = new Set(findings.map(({ rule }) => rule));
      expect([...rules]).toEqual(expect.arrayContaining(['host-name', 'machine-id', 'agent']));
      const refused = findings.filter(({ rule, action }) => rule === 'netplan' && action === 'unknown');
      expect(refused.map(({ path }) => path)).toEqual(
        expect.arrayContaining(['/etc/netplan/10.yaml', '/etc/netplan/14.yaml']),
      );
    },
    patience(120_000),
  );

  test('as JSON is not given to its parser', async () => {
    const deep = `${'['.repeat(100_000)}`;
    const { findings } = await engine.inspect(
      imageWith({
        '/etc/understudy/agent.json': `{"host":${'{"a":'.repeat(DEEP)}1${'}'.repeat(DEEP)}}`,
        '/var/lib/docker/containers/x/hostconfig.json': deep,
        '/var/lib/docker/containers/x/config.v2.json': deep,
      }),
      LEAD,
      signal,
    );
    expect(findings.find(({ rule }) => rule === 'agent')?.value).toContain('host (none)');
    expect(findings.filter(({ rule }) => rule === 'containers')).toHaveLength(1);
  });

  test('as XML, INI and its like ends in a report', async () => {
    const xml = `${'<a>'.repeat(100_000)}`;
    const { findings } = await engine.inspect(
      imageWith({
        '/etc/NetworkManager/system-connections/a.nmconnection': `[${'['.repeat(100_000)}\n${'a='.repeat(100_000)}`,
        '/etc/systemd/network/a.network': `[Match]\nName=${'*a'.repeat(2000)}b\n[Network]\nAddress=10.0.0.11/24\n`,
        '/etc/zookeeper/conf/zoo.cfg': xml,
        '/etc/libvirt/qemu/a.xml': xml,
        '/etc/wireguard/wg0.conf': `${'[Interface]'.repeat(50_000)}`,
      }),
      LEAD,
      signal,
    );
    expect(findings.length).toBeGreaterThan(0);
  });
});

/** Where rules look at lines, each kind of file once. */
const LINES_AT = [
  ...['/etc/hostname', '/etc/hosts', '/etc/fstab', '/etc/crypttab', '/etc/crontab', '/etc/cron.d/a', '/etc/machine-id'],
  ...[
    '/etc/network/interfaces',
    '/etc/sysconfig/network-scripts/ifcfg-eth0',
    '/etc/netplan/a.yaml',
    '/etc/default/grub',
  ],
  ...[
    '/etc/systemd/network/a.network',
    '/etc/NetworkManager/system-connections/a.nmconnection',
    '/etc/dhcp/dhclient.conf',
  ],
  ...[
    '/etc/keepalived/keepalived.conf',
    '/etc/corosync/corosync.conf',
    '/etc/mysql/my.cnf',
    '/etc/postgresql/15/main/a.conf',
  ],
  ...[
    '/etc/udev/rules.d/70-a.rules',
    '/etc/iscsi/initiatorname.iscsi',
    '/etc/wireguard/a.conf',
    '/etc/ssh/sshd_config',
  ],
  ...[
    '/etc/cloud/cloud.cfg',
    '/boot/grub/grub.cfg',
    '/etc/kernel/cmdline',
    '/etc/systemd/system/a.timer',
    '/etc/os-release',
  ],
  ...['/etc/salt/minion_id', '/etc/zabbix/zabbix_agentd.conf', '/etc/default/a', '/etc/containers/systemd/a.container'],
];
const REPEATED = [
  ' ',
  '\t',
  'a',
  '1',
  '=',
  ',',
  '.',
  '-',
  '/',
  '"',
  '\\',
  'a ',
  '1.',
  'a=',
  '=a,',
  ' = ',
  'root=/dev/sda ',
  '10.0.0.11 ',
];

test(
  'a line of one sign again and again, for each rule that looks at lines: a report, or an error of the registry',
  async () => {
    const outcomes: unknown[] = [];
    for (const sign of REPEATED) {
      const text = `${sign.repeat(Math.ceil(60_000 / sign.length))}!\nname=${sign.repeat(1000)}!\n`;
      const files = Object.fromEntries(LINES_AT.map((path) => [path, text]));
      const image = imageWith(files);
      const asked = engineWith({ bounds: { silenceMs: 20_000 } }).inspect(image, LEAD, signal);
      outcomes.push(await asked.then(({ findings }) => findings.length > 0, codeOf));
    }
    for (const outcome of outcomes) expect([true, 'IDENTITY_FAILED']).toContain(outcome);
    expect(outcomes).toContain(true);
    expect(readers()).toEqual([]);
  },
  patience(480_000),
);

test.each([
  ['objects', { toString: 1, valueOf: 1 }],
  ['objects of objects', { toString: { toString: 1 }, constructor: 1, __proto__: null }],
  ['arrays of such', [{ toString: 1, valueOf: 1 }]],
  ['numbers', 1e308],
  ['nothing', null],
])('values that become no text, %s: a report', async (_, odd) => {
  const files = {
    '/etc/understudy/agent.json': JSON.stringify({ host: odd, controller: odd, token: odd, tokenFile: odd }),
  };
  const image = imageWith(files);
  const { findings } = await engine.inspect(image, LEAD, signal);
  expect(findings.find(({ rule }) => rule === 'agent')?.value).toMatch(/^host \((none|not text)\), controller/);
  const plan = await engine.plan(image, request, signal);
  await engine.apply(image, plan, signal);
  expect(await engine.verify(image, request, plan, signal)).toEqual({ verified: true, problems: [] });
});

describe('the process that reads an image', () => {
  /** What is seen of it while a change waits for its first step. */
  async function seenWhileChanging<T>(look: (pid: number) => T): Promise<T> {
    const image = imageWith({});
    const plan = await engine.plan(image, request, signal);
    let seen: T | undefined;
    await engineWith({
      onStep: (step) => {
        if (step === 'overlay') seen = look(readers()[0] ?? 0);
      },
    }).apply(image, plan, signal);
    if (seen === undefined) throw new Error('no process was seen');
    return seen;
  }

  test('is another user without rights outside, has an empty environment, a filter, and no network', async () => {
    process.env.UNDERSTUDY_TEST_SECRET = 'a word that nobody else is to know';
    const seen = await seenWhileChanging((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1] ?? '';
      const own = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts'].filter(
        (kind) => readlinkSync(`/proc/${pid}/ns/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`),
      );
      return {
        uids: new Set(field('Uid').split(/\s+/)),
        gids: new Set(field('Gid').split(/\s+/)),
        groups: field('Groups').trim(),
        seccomp: field('Seccomp'),
        noNewPrivileges: field('NoNewPrivs'),
        environment: readFileSync(`/proc/${pid}/environ`, 'utf8'),
        own,
        root: readdirSync(`/proc/${pid}/root`).filter((name) => !SEEN.includes(name)),
      };
    });
    delete process.env.UNDERSTUDY_TEST_SECRET;
    expect(seen).toEqual({
      uids: new Set([String(OWN_USER)]),
      gids: new Set([String(OWN_USER)]),
      groups: '',
      seccomp: '2',
      noNewPrivileges: '1',
      environment: '',
      own: ['user', 'mnt', 'pid', 'net', 'ipc', 'uts'],
      root: [],
    });
  });

  test('cannot make a namespace of users', async () => {
    const nested = await seenWhileChanging((pid) => readFileSync(`/proc/${pid}/uid_map`, 'utf8').trim().split(/\s+/));
    expect(nested).toEqual(['0', String(OWN_USER), '1']);
  });

  test('that is killed is an error of its question; the image is as it was, and the next question is answered', async () => {
    const image = imageWith({});
    const plan = await engine.plan(image, request, signal);
    const before = digestOfFile(image);
    const killed = engineWith({
      onStep: (step) => {
        if (step === 'edit') for (const pid of readers()) process.kill(pid, 'SIGKILL');
      },
    }).apply(image, plan, signal);
    await expect(killed).rejects.toMatchObject({
      code: 'IDENTITY_FAILED',
      message: expect.stringContaining(`the process that reads ${image} did not finish`) as string,
    });
    expect(readers()).toEqual([]);
    expect(digestOfFile(image)).toBe(before);
    await engine.apply(image, plan, signal);
    expect(await engine.verify(image, request, plan, signal)).toEqual({ verified: true, problems: [] });
  });

  test('that broods over one text is ended after its time', async () => {
    const rule = { name: 'brood', why: 'it broods', path: ['/etc/brood'], secret: false, action: 'unknown' } as const;
    const list = [{ ...rule, units: [], run: [], lines: '^((a+)+)$' }];
    const rules = ruleSet('rules.yaml', list, { only: true, canRun: false });
    const image = imageWith({ '/etc/brood': `${'a'.repeat(60)}!\n` });
    const brooding = engineWith({ rules, bounds: { silenceMs: 3000 } }).inspect(image, LEAD, signal);
    await expect(brooding).rejects.toMatchObject({
      code: 'IDENTITY_FAILED',
      message: expect.stringContaining('look at one text of the image') as string,
    });
    expect(readers()).toEqual([]);
    expect((await engine.inspect(image, LEAD, signal)).findings.length).toBeGreaterThan(0);
  });

  test('that wants more memory, processes or time than it may have is ended', async () => {
    const image = imageWith({});
    const small = { memoryBytesMax: 8 * 1024 * 1024, tasksMax: 512 };
    for (const bounds of [
      { limits: small },
      { limits: { ...small, memoryBytesMax: 2 ** 32, tasksMax: 4 } },
      { timeoutMs: 1 },
    ]) {
      const asked = engineWith({ bounds }).inspect(image, LEAD, signal);
      const error: unknown = await asked.then(
        () => null,
        (reason: unknown) => reason,
      );
      expect([bounds, codeOf(error)]).toEqual([bounds, 'IDENTITY_FAILED']);
      expect(messageOf(error)).toContain('did not finish');
      expect(readers()).toEqual([]);
    }
    expect((await engine.inspect(image, LEAD, signal)).findings.length).toBeGreaterThan(0);
  });

  test('leaves a folder that only its user and root can enter', async () => {
    await engine.inspect(imageWith({}), LEAD, signal);
    const { uid, mode } = statSync(join(folder, 'state'));
    expect([uid, mode & 0o777]).toEqual([OWN_USER, 0o700]);
    expect(readdirSync(join(folder, 'state'))).toEqual([]);
  });
});

/** What a reader sees of the machine: programs and libraries, a few settings, and its own folder. */
const SEEN = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32', 'etc', 'proc', 'dev', 'tmp', 'mnt', 'media'];

/** Processes of this test that read an image. */
function readers(): number[] {
  const children = (pid: number): number[] => {
    const own = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(name) === pid);
    return own.flatMap((name) => [Number(name), ...children(Number(name))]);
  };
  return children(process.pid).filter((pid) => /\/isolated\/main\.js\0/.test(commandOf(pid)) && isNode(pid));
}

function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? -1);
  } catch {
    // It has ended.
    return -1;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It has ended.
    return '';
  }
}

function isNode(pid: number): boolean {
  return /^\/[^\0]*\/node\0/.test(commandOf(pid));
}
