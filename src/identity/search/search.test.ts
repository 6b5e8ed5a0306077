// What the search finds, in which spellings, and what it says of where it did not look.
import { describe, expect, it } from 'vitest';
import { memoryTree } from '../../../test/support/memory-tree.ts';
import { UnderstudyError } from '../../base/mod.ts';
import type { HostIdentity, IdentityRequest } from '../contract.ts';
import { makePlan } from '../plan.ts';
import { builtinRules } from '../rules/mod.ts';
import type { NodeTree } from '../tree/mod.ts';
import { surveyOf, valuesOf } from './mod.ts';
import { nameMatcher } from './name-as-value.ts';

const ID = '0123456789abcdef0123456789abcdef';
const LEAD: HostIdentity = {
  hostName: 'web1',
  domain: 'example.org',
  interfaces: [{ name: 'eth0', mac: '52:54:00:00:00:11', addresses: ['10.0.0.11/24', 'fd00:0:0:1::b/64'] }],
};
const SPARE: HostIdentity = {
  hostName: 'spare1',
  domain: 'example.org',
  interfaces: [{ name: 'eth0', mac: '52:54:00:00:00:12', addresses: ['10.0.0.12/24', 'fd00:0:0:1::c/64'] }],
};
const makers = {
  foresee: () => {},
  sshHostKey: async () => {
    throw new Error('no key is asked for');
  },
};
const FINGERPRINT = `SHA256:${Buffer.alloc(32, 7).toString('base64').replace('=', '')}`;
const VALUES = valuesOf(LEAD, { machineIds: [ID], hostKeys: [FINGERPRINT] });

async function shownIn(text: string): Promise<readonly string[]> {
  const survey = await surveyOf(memoryTree({ '/srv/app.conf': text }), VALUES);
  return (survey.hits.get('/srv/app.conf') ?? []).map(({ value }) => value.shown);
}

async function planFor(nodes: NodeTree, request: IdentityRequest = { lead: LEAD, understudy: SPARE }) {
  return makePlan(
    nodes,
    request,
    builtinRules.filter(({ name }) => name === 'mentions'),
    makers,
  );
}

describe('spellings', () => {
  it.each([
    ['10.0.0.11', ['listen 10.0.0.11:80', 'ip-10-0-0-11.compute', 'node_10_0_0_11', '::ffff:10.0.0.11']],
    ['10.0.0.11', ['11.0.0.10.in-addr.arpa', 'pxelinux.cfg/0A00000B', 'addr=0x0a00000b', '"10.0.0.11/24"']],
    ['fd00:0:0:1::b', ['[fd00:0:0:1::b]:80', 'FD00:0000:0000:0001:0000:0000:0000:000B', 'fd00-0-0-1--b.ipv6-literal']],
    ['fd00:0:0:1::b', ['b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa']],
    ['fd00:0:0:1::b', ['fd00:0:0:1:0:0:0:b', 'fd000000000000010000 00000000000b'.replace(' ', '')]],
    ['52:54:00:00:00:11', ['52-54-00-00-00-11', '5254.0000.0011', '525400000011', 'fe80::5054:ff:fe00:11%eth0']],
    [ID, [ID.toUpperCase(), '01234567-89ab-cdef-0123-456789abcdef', `/boot/${ID}/6.1`]],
    [
      'a disk by its serial number or place',
      ['dev=/dev/disk/by-id/ata-ST4000_Z30ABC', '/dev/disk/by-path/pci-0000:00:04.0'],
    ],
    [FINGERPRINT, [FINGERPRINT, `host key ${FINGERPRINT}=`, `web9 SSHFP 4 2 ${'07'.repeat(32)}`]],
  ])('%s: %j', async (value, texts) => {
    for (const text of texts) expect(await shownIn(`x\n${text}\n`), text).toEqual([value]);
  });

  it.each([
    '10.0.0.110',
    '110.0.0.11',
    '10.0.0.11.5',
    '2010-0-0-11',
    '1-10-0-0-11',
    '11.0.0.10',
    `${ID}0`,
    `a${ID}`,
    'fd00:0:0:1::b1',
    'fd00:0:0:2::b',
    '52:54:00:00:00:111',
    'ls /dev/disk/by-id/$name',
    '/dev/disk/by-uuid/5e1f7a60',
    '00a00000b0',
  ])('%s is another one', async (text) => {
    expect(await shownIn(`x\n${text}\n`)).toEqual([]);
  });
});

describe('names', () => {
  const values = [
    'HOST=web1',
    'host: web1',
    '"host": "web1",',
    "host='web1'",
    'NODES="web1 web2"',
    'nodes = db1, web1',
    'nodes: [db1, web1]',
    'web1',
    '- web1',
    'ServerName web1',
    'server_name wiki.example.com web1;',
    'url = http://web1/x',
    'url = http://user@web1:80/',
    'mail root@web1',
    'Welcome to web1.example.org',
    'web1 web2',
  ];
  const words = [
    '# HOST=web1',
    'Welcome to web1',
    'this runs on web1 and nowhere else',
    'HOST=web11',
    'host: web1-old',
    'x.web1.y',
    '/srv/web1/data',
    'web1.example.com',
    'web1=5',
  ];

  it.each(values)('a value: %s', (line) => expect(nameMatcher('web1', 'web1.example.org')(line)).toBe(true));
  it.each(words)('not a value: %s', (line) => expect(nameMatcher('web1', 'web1.example.org')(line)).toBe(false));

  it('of hosts that are called like common words', () => {
    const prose = [
      'The default is to do nothing.',
      'Description=Set the default target',
      'deb http://deb.debian.org/debian bookworm main',
      'default_policy: allow',
      'set default timeout',
      'Note: default values are used',
      'this is the default: see below',
    ];
    for (const line of prose)
      for (const name of ['default', 'debian']) expect(nameMatcher(name, name)(line), `${name}: ${line}`).toBe(false);
    expect(nameMatcher('default', 'default')('HOSTNAME=default')).toBe(true);
    expect(nameMatcher('mail', 'mail')('relay: mail')).toBe(true);
  });

  it('many mentions of a name are counted, and nobody is asked', async () => {
    const files = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`/etc/d/${at}`, 'host=web1\n']));
    const { findings, unknown } = await planFor(memoryTree(files));
    expect(unknown).toEqual([]);
    expect(findings).toHaveLength(25);
    expect(findings.at(-1)?.value).toBe('the lead is named in 276 more files');
  });
});

describe('places', () => {
  it.each([
    '/etc',
    '/opt/app',
    '/srv/app',
    '/usr/local/etc',
    '/var/lib/app',
    '/home/me',
    '/boot/loader',
    '/usr/share/app',
  ])('an address in %s is asked about', async (folder) => {
    const { unknown } = await planFor(memoryTree({ [`${folder}/app.conf`]: 'listen = 10.0.0.11\n' }));
    expect(unknown.map(({ path }) => path)).toEqual([`${folder}/app.conf`]);
  });

  it('nothing acts on histories, letters, copies and comments', async () => {
    const paths = ['/root/.bash_history', '/var/mail/root', '/etc/app.conf.bak', '/root/.ssh/known_hosts', '/etc/motd'];
    const files = Object.fromEntries(paths.map((path) => [path, '10.0.0.11\n']));
    const { findings } = await planFor(memoryTree({ ...files, '/etc/x': '# was 10.0.0.11\n' }));
    expect(findings.map(({ action }) => action)).toEqual(Array.from({ length: 6 }, () => 'keep'));
  });

  it('what a package brought and nobody changed says nothing of this host', async () => {
    const text = 'example: 10.0.0.11\n';
    const digest = '68f0dc81a0fdbd4c20aac8f7a2a4c1a6';
    const real = (await import('node:crypto')).createHash('md5').update(text).digest('hex');
    const { unknown } = await planFor(
      memoryTree({
        '/usr/share/app/same': text,
        '/usr/share/app/changed': text,
        '/lib/app/merged': text,
        '/etc/same': text,
        '/etc/changed': text,
        '/var/lib/dpkg/status': `Package: app\nConffiles:\n /etc/same ${real}\n /etc/changed ${digest}\n`,
        '/var/lib/dpkg/info/app.md5sums': `${real}  usr/share/app/same\n${digest}  usr/share/app/changed\n${real}  usr/lib/app/merged\n`,
      }),
    );
    expect(unknown.map(({ path }) => path)).toEqual(['/etc/changed', '/usr/share/app/changed']);
  });

  it('says what was seen, read and left out', async () => {
    const { coverage } = await planFor(
      memoryTree({
        '/etc/app.conf': 'x\n',
        '/srv/image': Buffer.alloc(2 * 1024 * 1024, 'x'),
        '/srv/program': Buffer.from('\x7fELF\0\0'),
        '/var/log/syslog': '10.0.0.11\n',
        '/var/log/deep/a': 'x',
        '/proc/left': '10.0.0.11\n',
        '/home/me/.cache/x': '10.0.0.11\n',
      }),
    );
    expect(coverage).toMatchObject({ files: 6, filesRead: 1, bytesRead: 2, isComplete: true });
    expect(coverage?.notSearched.map(({ path, why, files }) => [path, why, files])).toEqual([
      ['/', 'files of more than 1 MiB', 1],
      ['/', 'files that are not text', 1],
      ['/home/me/.cache', 'caches', 1],
      ['/proc', expect.stringContaining('kernel'), undefined],
      ['/var/log', 'logs', 2],
    ]);
  });

  it('a place that cannot be read is named, asked about, and the rest is searched', async () => {
    const nodes = memoryTree({ '/srv/a/x': '10.0.0.11\n', '/srv/b/x': '10.0.0.11\n' });
    const damaged: NodeTree = {
      ...nodes,
      names: async (path) => {
        if (path === '/srv/a') throw new UnderstudyError('IMAGE_DAMAGED', 'the folder has an end before its beginning');
        return nodes.names(path);
      },
    };
    const { unknown, coverage } = await planFor(damaged);
    expect(unknown.map(({ path }) => path)).toEqual(['/srv/b/x', '/srv/a']);
    expect(coverage?.isComplete).toBe(false);
  });

  it('what the disk has beside the system is not complete', async () => {
    const unread = [{ type: '', text: 'at byte 1048576: LVM, which is not supported' }];
    const { coverage } = await planFor(memoryTree({ '/etc/x': 'x' }, { attached: [], swaps: [], unread }));
    expect(coverage).toMatchObject({ isComplete: false, notSearched: [{ path: '/', isIntended: false }] });
  });

  it('folders without end', async () => {
    const nodes = memoryTree({ '/srv/a': 'x' });
    const endless: NodeTree = {
      ...nodes,
      entry: async (path) =>
        path.startsWith('/srv') ? nodes.entry('/srv').then((one) => one && { ...one, path }) : nodes.entry(path),
      names: async (path) => (path.startsWith('/srv') ? ['a'] : nodes.names(path)),
    };
    const { unknown, coverage } = await planFor(endless);
    expect(unknown).toMatchObject([{ value: 'folders are nested too deep', action: 'unknown' }]);
    expect(coverage?.isComplete).toBe(false);
  });
});

it('mail in a queue that is emptied is not asked about, whatever it names', async () => {
  const mail = '/var/spool/postfix/deferred/1/1A2B';
  const nodes = memoryTree({
    [mail]: 'Received: from web1.example.org (10.0.0.11)\n',
    '/srv/app.conf': 'on = 10.0.0.11\n',
  });
  const rules = builtinRules.filter(({ name }) => ['mail-queues', 'mentions'].includes(name));
  const { findings } = await makePlan(nodes, { lead: LEAD, understudy: SPARE }, rules, makers);
  const mentioned = findings.filter(({ rule }) => rule === 'mentions').map(({ path }) => path);
  expect(mentioned).toEqual(['/srv/app.conf']);
});
