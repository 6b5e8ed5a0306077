// Goal: an image that was personalised says so, and what is asked of it again is answered by that; a queue of any
// length is one finding and is gone afterwards; `inspect` and the plan say the same; a report shows no secret.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import {
  createIdentityEngine,
  type HostIdentity,
  type IdentityEngine,
  type IdentityRequest,
  openFindings,
  type Plan,
} from '../../src/identity/mod.ts';
import {
  type Content,
  catFile,
  checkImage,
  digestOfFile,
  LEAD,
  makeImage,
  SPARE,
  type SystemImage,
  sshKeyFiles,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const { MIB } = limits;
const STAMP = '/etc/understudy/clone';
const signal = new AbortController().signal;
const request: IdentityRequest = { lead: LEAD, understudy: SPARE };
const OTHER: HostIdentity = {
  ...SPARE,
  hostName: 'spare2',
  interfaces: [{ name: 'eth0', mac: '52:54:00:00:00:13', addresses: ['10.0.0.13/24'], gateway: '10.0.0.1' }],
  agent: { host: 'spare2', controller: 'https://controller.example.org:7780', token: 'token-of-spare2-0123' },
};
let folder: string;
let engine: IdentityEngine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-again-test-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function image(files: Readonly<Record<string, Content>> = {}): SystemImage {
  const keys = sshKeyFiles(folder, ['ed25519']);
  const tree = writeTree(join(folder, 'tree'), { ...systemFiles(), ...keys, ...files });
  return makeImage(join(folder, 'image'), tree, { sizeBytes: 96 * MIB });
}

async function personalise(disk: SystemImage, asked: IdentityRequest = request): Promise<Plan> {
  const plan = await engine.plan(disk.path, asked, signal);
  await engine.apply(disk.path, plan, signal);
  expect(await engine.verify(disk.path, asked, plan, signal)).toEqual({ verified: true, problems: [] });
  expect(checkImage(disk)).toBe('');
  return plan;
}

describe('an image that was personalised', () => {
  test('is not changed by the same again, whether the lead is named or read from it', async () => {
    const disk = image({ '/etc/app.conf': 'listen 10.0.0.11\n' });
    const first = await personalise(disk);
    expect(first.unknown.map(({ path }) => path)).toEqual(['/etc/app.conf']);
    const done = digestOfFile(disk.path);
    for (const lead of [LEAD, await engine.identify(disk.path, signal)]) {
      const plan = await personalise(disk, { ...request, lead });
      // What was accepted then is not asked again.
      expect([plan.changes, plan.unknown]).toEqual([[], []]);
      expect(plan.proof).toEqual(first.proof);
      expect(digestOfFile(disk.path)).toBe(done);
    }
    const stamp = Buffer.from(catFile(disk, STAMP), 'base64url').toString();
    expect(stamp).toContain('"hostName":"spare1"');
    expect(stamp).not.toMatch(/web1|10\.0\.0\.11|token-of|52:54:00:00:00:11/);
  });

  test.each(['agent', 'example', 'understudy'])(
    'is that of a lead named %s too: what it says of itself is no trace of the lead',
    async (hostName) => {
      const lead = { ...LEAD, hostName };
      const hosts = `127.0.0.1 localhost\n10.0.0.11 ${hostName}.example.org ${hostName}\n`;
      const disk = image({ '/etc/hostname': `${hostName}\n`, '/etc/hosts': hosts });
      // Without a domain, so that the image knows more of who it is than was said.
      const { domain: _, ...understudy } = SPARE;
      await personalise(disk, { lead, understudy });
      const done = digestOfFile(disk.path);
      for (const again of [lead, await engine.identify(disk.path, signal)]) {
        expect((await personalise(disk, { lead: again, understudy })).changes).toEqual([]);
        expect(digestOfFile(disk.path)).toBe(done);
      }
    },
  );

  test('asks about what came since, and does not call what was put back its own', async () => {
    const disk = image();
    await personalise(disk);
    withMount(disk, 'echo connect 10.0.0.11 > $M/etc/new.conf', 'rw');
    const plan = await engine.plan(disk.path, request, signal);
    expect([plan.changes, plan.unknown.map(({ path }) => path)]).toEqual([[], ['/etc/new.conf']]);
    withMount(disk, 'rm $M/etc/new.conf; sed -i s/10.0.0.12/10.0.0.11/ $M/etc/network/interfaces', 'rw');
    const again = await engine.plan(disk.path, request, signal);
    expect((await engine.verify(disk.path, request, again, signal)).verified).toBe(false);
  });

  test('becomes another understudy from who it is, by the first lead or by itself', async () => {
    const disk = image();
    const first = await personalise(disk);
    const plan = await personalise(disk, { lead: LEAD, understudy: OTHER });
    expect(plan.proof.machineId).not.toBe(first.proof.machineId);
    const seen = withMount(disk, 'cat $M/etc/hostname $M/etc/hosts $M/etc/network/interfaces');
    expect(seen).toContain('spare2\n');
    expect(seen).toContain('address 10.0.0.13/24');
    expect(seen).not.toMatch(/spare1|web1|10\.0\.0\.1[12]\b/);
    await personalise(disk, { lead: SPARE, understudy: { ...OTHER, hostName: 'spare3' } });
    expect(catFile(disk, '/etc/hostname')).toBe('spare3\n');
  });

  test('is refused for another lead, and so is nothing that never was a copy', async () => {
    const disk = image();
    await personalise(disk);
    const before = digestOfFile(disk.path);
    const stranger = { ...LEAD, hostName: 'web9', interfaces: [{ name: 'eth0', mac: '', addresses: ['10.0.9.9/24'] }] };
    const refused = { code: 'IDENTITY_FAILED', message: expect.stringContaining('a copy of another host than web9') };
    await expect(engine.plan(disk.path, { ...request, lead: stranger }, signal)).rejects.toMatchObject(refused);
    // Of one name, and not one address in common.
    const namesake = { ...stranger, hostName: 'web1' };
    await expect(engine.plan(disk.path, { ...request, lead: namesake }, signal)).rejects.toMatchObject({
      code: 'IDENTITY_FAILED',
    });
    expect(digestOfFile(disk.path)).toBe(before);
  });

  test('is believed no further: not when it is another host by now, and not as the copy of a lead', async () => {
    const disk = image();
    const first = await personalise(disk);
    // A stamp that somebody copied with the rest, on a host that was renamed since.
    withMount(disk, 'echo web1 > $M/etc/hostname; sed -i s/spare1/web1/ $M/etc/hosts', 'rw');
    withMount(disk, 'sed -i s/10.0.0.12/10.0.0.11/ $M/etc/hosts $M/etc/network/interfaces', 'rw');
    const plan = await personalise(disk);
    expect(plan.changes.map(({ path }) => path)).toContain('/etc/hostname');
    expect(plan.proof.machineId).not.toBe(first.proof.machineId);
    // The lead says of itself that it is the understudy.
    const forged = await engine.plan(disk.path, { ...request, isLeadsCopy: true }, signal);
    expect(forged.changes.map(({ path }) => path)).toContain('/etc/machine-id');
  });
});

describe('a queue of any length', () => {
  test('is one finding with a count, and its folders are there and empty afterwards', async () => {
    const disk = image({ '/var/spool/postfix/deferred/4/first': 'hidden-word\n', '/var/spool/postfix/active/a': 'x' });
    const script = [
      'cd $M/var/spool/postfix/deferred',
      'for d in 0 1 2 3; do mkdir $d; for i in $(seq 750); do echo mail > $d/mail-$i; done; done',
      'ln -s /etc/passwd $M/var/spool/postfix/deferred/4/a-link; mkfifo $M/var/spool/postfix/deferred/pipe; cd /',
    ];
    withMount(disk, script.join('\n'), 'rw');
    const { findings } = await engine.inspect(disk.path, LEAD, signal);
    expect(findings.filter(({ rule }) => rule === 'mail-queues')).toMatchObject([
      { path: '/var/spool/postfix/active', value: 'queued mail (postfix): 1', action: 'disable' },
      { path: '/var/spool/postfix/deferred', value: 'queued mail (postfix): 3002', action: 'disable' },
    ]);
    const plan = await personalise(disk);
    expect(JSON.stringify(plan).length).toBeLessThan(100_000);
    expect(engine.show(plan)).toContain(
      'emptied folder (mail-queues)\n--- /var/spool/postfix/deferred\n-(3002 files)\n',
    );
    const left = withMount(disk, 'find $M/var/spool/postfix ! -type d; ls $M/var/spool/postfix/deferred');
    expect(left.replace(/^.*\/mnt|^.*\.mnt/, '')).toBe('/var/spool/postfix/deferred/pipe\n0\n1\n2\n3\n4\npipe\n');
    expect(withMount(disk, 'cat $M/etc/passwd')).toContain('root:');
  });

  test('is as it was when mail came or went since the plan was made', async () => {
    const disk = image({ '/var/spool/exim4/input/1rAb-H': 'x\n' });
    const plan = await engine.plan(disk.path, request, signal);
    withMount(disk, 'echo more > $M/var/spool/exim4/input/1rAc-H', 'rw');
    const before = digestOfFile(disk.path);
    const refused = { code: 'IDENTITY_FAILED', message: expect.stringContaining('/var/spool/exim4/input has changed') };
    await expect(engine.apply(disk.path, plan, signal)).rejects.toMatchObject(refused);
    expect(digestOfFile(disk.path)).toBe(before);
  });
});

describe('reports', () => {
  test('inspect lists what a plan lists', async () => {
    const disk = image({
      '/etc/understudy/agent.json': '{"host": "web1"}\n',
      '/etc/hosts': '127.0.0.1 localhost\n10.0.0.11 web1.example.org web1\n# ask 10.0.0.11\n',
      '/etc/keepalived/keepalived.conf': 'vrrp_instance V {\n  unicast_src_ip 10.0.0.11\n}\n',
      '/etc/systemd/system/multi-user.target.wants/keepalived.service': {
        link: '/lib/systemd/system/keepalived.service',
      },
      '/opt/shop/state/node-id': '17-ab\n',
      '/etc/cron.d/shop': '0 1 * * * root /usr/bin/curl http://10.0.0.11/\n',
    });
    const inspection = await engine.inspect(disk.path, LEAD, signal);
    const plan = await engine.plan(disk.path, request, signal);
    const told = (findings: Plan['findings']): string[] =>
      findings.map(({ rule, path, action, value }) => `${rule} ${path} ${action} ${value}`);
    expect(told(inspection.findings)).toEqual(told(plan.findings));
    expect(plan.unknown.map(({ rule }) => rule)).toContain('identity-signs');
    expect(plan.unknown.map(({ path }) => path)).toContain('/etc/keepalived/keepalived.conf');
  });

  test('no secret is shown, of a line that changes or of one beside it', async () => {
    const disk = image({
      '/etc/cron.d/dump':
        'MAILTO=root\nPGPASSWORD=hidden-word\n5 4 * * * root mysqldump -phidden-word shop\n' +
        '6 4 * * * root curl -u anna:hidden-word https://api.example.org/\n',
      '/etc/fstab': '//nas/x /mnt/x cifs username=anna,password=hidden-word 0 0\n',
      '/etc/ssh/sshd_config': 'Port 22\n',
    });
    const plan = await engine.plan(disk.path, request, signal);
    const text = engine.show(plan);
    expect(text).toContain('+# understudy: 5 4 * * * root mysqldump -p(secret) shop');
    expect(text).not.toContain('hidden-word');
    expect(JSON.stringify(plan.findings)).not.toContain('hidden-word');
  });

  test('one finding is accepted, and its neighbour of the same rule is still asked about', async () => {
    const disk = image({ '/var/lib/zookeeper/myid': '2\n', '/var/lib/etcd/member/snap/db': 'x' });
    const { unknown } = await engine.plan(disk.path, request, signal);
    const open = (...accept: string[]): string[] => openFindings(unknown, accept).map(({ path }) => path);
    expect(open()).toEqual(['/var/lib/etcd/member/snap/db', '/var/lib/zookeeper/myid']);
    expect(open('clusters:/var/lib/zookeeper/myid')).toEqual(['/var/lib/etcd/member/snap/db']);
    // Whoever names the rule alone may have seen one of them only.
    expect(open('clusters')).toHaveLength(2);
    expect(open('zookeeper', 'clusters:/var/lib/zookeeper')).toHaveLength(2);
    expect(open('clusters:/var/lib/*')).toEqual([]);
  });
});
