// Goal: from an image of the lead to one of the understudy, on real file systems: found, planned, applied, verified; the kernel and
// e2fsprogs agree, and nothing but apply ever writes the image.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { IdentityEngine, Plan } from '../../src/identity/mod.ts';
import { createIdentityEngine } from '../../src/identity/mod.ts';
import { attachLoop, run } from '../support/disk-image.ts';
import {
  type Content,
  catFile,
  checkImage,
  digestOfFile,
  type ImageOptions,
  JOURNALLED,
  KEY_TYPES,
  LEAD,
  MACHINE_ID,
  makeDirty,
  makeImage,
  SPARE,
  type SystemImage,
  sshKeyFiles,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const signal = new AbortController().signal;
const request = { lead: LEAD, understudy: SPARE };
let keys: Record<string, Content>;
let allKeys: Record<string, Content>;
let keysFolder: string;
let folder: string;
let engine: IdentityEngine;

beforeAll(() => {
  keysFolder = mkdtempSync(join(tmpdir(), 'understudy-identity-keys-'));
  allKeys = sshKeyFiles(keysFolder, KEY_TYPES);
  keys = Object.fromEntries(Object.entries(allKeys).filter(([path]) => path.includes('ed25519')));
});
afterAll(() => rmSync(keysFolder, { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-identity-test-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function system(files: Readonly<Record<string, Content | null>> = {}, options: ImageOptions = {}): SystemImage {
  const tree = writeTree(join(folder, 'tree'), { ...systemFiles(), ...keys, ...files });
  return makeImage(join(folder, 'image'), tree, options);
}

async function personalise(image: SystemImage, plan?: Plan): Promise<Plan> {
  const made = plan ?? (await engine.plan(image.path, request, signal));
  await engine.apply(image.path, made, signal);
  expect(await engine.verify(image.path, request, made, signal)).toEqual({ verified: true, problems: [] });
  expect(checkImage(image)).toBe('');
  return made;
}

describe('from lead to understudy', () => {
  test.each([
    ['bare', 'clean'],
    ['bare', 'dirty'],
    ['gpt', 'clean'],
    ['gpt', 'dirty'],
    ['mbr', 'dirty'],
  ] as const)('%s image, %s journal', async (layout, journal) => {
    const image = system({}, { layout });
    if (journal === 'dirty') makeDirty(image, 'echo 10.0.0.11 > $M/etc/journalled; sync $M/etc/journalled');
    const before = digestOfFile(image.path);
    const inspection = await engine.inspect(image.path, LEAD, signal);
    expect(inspection.os).toEqual({ id: 'debian', version: '12', arch: 'x86_64' });
    const plan = await engine.plan(image.path, request, signal);
    expect((await engine.verify(image.path, request, plan, signal)).verified).toBe(false);
    expect(digestOfFile(image.path)).toBe(before);
    // What is in the journal only is seen: the search finds the file with the address.
    expect(plan.unknown.map(({ path }) => path)).toEqual(journal === 'dirty' ? ['/etc/journalled'] : []);

    await personalise(image, plan);
    const seen = withMount(image, 'cat $M/etc/hostname $M/etc/machine-id; cat $M/etc/network/interfaces');
    expect(seen).toContain(`spare1\n${plan.proof.machineId}\n`);
    expect(seen).toContain('address 10.0.0.12/24');
    expect(seen).not.toContain('10.0.0.11');
    if (journal === 'dirty') expect(catFile(image, JOURNALLED)).toBe('yes\n');

    const after = digestOfFile(image.path);
    await engine.apply(image.path, plan, signal);
    expect(digestOfFile(image.path)).toBe(after);
  });

  test('a block device', async () => {
    const image = system({}, { layout: 'gpt' });
    const device = attachLoop(image.path);
    try {
      const plan = await engine.plan(device, request, signal);
      await engine.apply(device, plan, signal);
      expect((await engine.verify(device, request, plan, signal)).verified).toBe(true);
    } finally {
      run('losetup', ['--detach', device]);
    }
    expect(checkImage(image)).toBe('');
    expect(catFile(image, '/etc/hostname')).toBe('spare1\n');
  });

  test('the host keys that are proved are those of the image, and the private ones belong to them', async () => {
    const image = system(allKeys);
    const plan = await personalise(image);
    const script =
      'for key in $M/etc/ssh/ssh_host_*_key; do ssh-keygen -l -f $key; ssh-keygen -y -f $key; cat $key.pub; done';
    const lines = withMount(image, script).trim().split('\n');
    expect(
      lines
        .filter((line) => line.includes('SHA256:'))
        .map((line) => line.split(' ')[1])
        .sort(),
    ).toEqual(plan.proof.sshHostKeys);
    const blobs = lines.filter((line) => !line.includes('SHA256:')).map((line) => line.split(' ')[1]);
    expect(blobs.filter((blob, index) => blob === blobs[index % 2 === 0 ? index + 1 : index - 1])).toHaveLength(6);
    expect(lines.filter((line) => line.endsWith('root@spare1'))).not.toHaveLength(0);
    const shown = engine.show(plan);
    expect(shown).not.toMatch(/PRIVATE KEY|token-of/);
    expect(shown).toContain('(secret)');
  });

  test('machine-id: another one, the same in every plan for these two hosts, and in D-Bus file as well', async () => {
    const image = system({ '/var/lib/dbus/machine-id': `${MACHINE_ID}\n` });
    const other = {
      ...SPARE,
      hostName: 'spare2',
      interfaces: [{ ...SPARE.interfaces[0], name: 'eth0', mac: '52:54:00:00:00:13', addresses: ['10.0.0.13/24'] }],
    };
    const plans = [
      await engine.plan(image.path, request, signal),
      await engine.plan(image.path, request, signal),
      await engine.plan(image.path, { lead: LEAD, understudy: other }, signal),
    ] as const;
    expect(plans[0].proof.machineId).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
    expect(plans[1].proof.machineId).toBe(plans[0].proof.machineId);
    expect(new Set([MACHINE_ID, plans[0].proof.machineId, plans[2].proof.machineId]).size).toBe(3);
    await personalise(image, plans[1]);
    expect(catFile(image, '/var/lib/dbus/machine-id')).toBe(`${plans[0].proof.machineId}\n`);
  });

  test('the fingerprint: the same for the same image and hosts, another for others', async () => {
    const image = system();
    const first = await engine.plan(image.path, request, signal);
    const second = await engine.plan(image.path, request, signal);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(second.proof.sshHostKeys).not.toEqual(first.proof.sshHostKeys);
    const elsewhere = {
      ...SPARE,
      interfaces: [{ name: 'eth0', mac: '52:54:00:00:00:12', addresses: ['10.0.0.13/24'] }],
    };
    const third = await engine.plan(image.path, { lead: LEAD, understudy: elsewhere }, signal);
    expect(third.fingerprint).not.toBe(first.fingerprint);
  });

  test('the plan, as people see it', async () => {
    const image = system(allKeys);
    const shown = engine.show(await engine.plan(image.path, request, signal));
    const lasting = shown
      .replaceAll(/^([-+])(ssh-\S+|ecdsa-\S+) \S+/gm, '$1$2 KEY')
      .replaceAll(/SHA256:\S+/g, 'FINGERPRINT')
      .replace(/^plan \S+/, 'plan PLAN');
    await expect(lasting).toMatchFileSnapshot('identity-plan.golden.txt');
  });

  test('an image that has its new identity needs no other', async () => {
    const image = system();
    await personalise(image);
    const again = await engine.plan(image.path, request, signal);
    const lasting = again.changes.filter(({ rule }) => rule !== 'ssh-host-keys' && rule !== 'machine-id');
    expect(lasting).toEqual([]);
    await personalise(image, again);
  });

  test('no agent for the understudy: its unit does not start, and the token of the lead is gone', async () => {
    const image = system({
      '/usr/lib/systemd/system/multi-user.target.wants/understudy-agent.service': { link: '../x' },
    });
    const { agent: _, ...silent } = SPARE;
    const plan = await engine.plan(image.path, { lead: LEAD, understudy: silent }, signal);
    await engine.apply(image.path, plan, signal);
    expect(await engine.verify(image.path, { lead: LEAD, understudy: silent }, plan, signal)).toEqual({
      verified: true,
      problems: [],
    });
    const seen = withMount(
      image,
      'cd $M/etc; ls systemd/system/multi-user.target.wants understudy; readlink systemd/system/understudy-agent.service || true',
    );
    expect(seen).not.toContain('agent.json');
    expect(checkImage(image)).toBe('');
  });
});

describe('what the image keeps', () => {
  test('owners, modes, extended attributes, large ids; files that grow and shrink', async () => {
    const long = `# ${'x'.repeat(200_000)}\n`;
    const image = system({
      '/etc/hostname': { text: `${long}web1\n`, mode: 0o640, uid: 70_000, gid: 80_000 },
      '/etc/hosts': { text: '10.0.0.11 web1\n', mode: 0o664 },
    });
    const python =
      "import os,sys; os.setxattr(sys.argv[1], 'security.selinux', b'system_u:object_r:hostname_t:s0\\0'); os.setxattr(sys.argv[1], 'user.note', b'n' * 400)";
    withMount(image, `python3 -c "${python}" $M/etc/hostname`, 'rw');
    const grown = { ...SPARE, hostName: `spare-${'y'.repeat(50)}` };
    const plan = await engine.plan(image.path, { lead: LEAD, understudy: grown }, signal);
    await engine.apply(image.path, plan, signal);
    expect(checkImage(image)).toBe('');
    const script = `stat -c '%a %u:%g %h' $M/etc/hostname $M/etc/hosts $M/etc/machine-id $M/etc/ssh/ssh_host_ed25519_key; tail -n1 $M/etc/hostname
python3 -c "import os,sys; print([(n, os.getxattr(sys.argv[1], n)) for n in sorted(os.listxattr(sys.argv[1]))])" $M/etc/hostname`;
    expect(withMount(image, script)).toBe(
      `640 70000:80000 1\n664 0:0 1\n444 0:0 1\n600 0:0 1\n${grown.hostName}\n` +
        `[('security.selinux', b'system_u:object_r:hostname_t:s0\\x00'), ('user.note', b'${'n'.repeat(400)}')]\n`,
    );
  });

  test('a folder with a hash tree stays one in which the kernel finds what was changed', async () => {
    const image = system({}, { mkfs: ['-t', 'ext4', '-b', '1024'] });
    withMount(image, 'cd $M/etc; for i in $(seq 500); do echo $i > some-configuration-$i; done; cd /', 'rw');
    expect(run('debugfs', ['-R', 'stat /etc', image.ext])).toMatch(/Flags: 0x(8)?1000/);
    await personalise(image);
    expect(withMount(image, 'cat $M/etc/hostname; ls $M/etc | wc -l')).toMatch(/^spare1\n51\d\n$/);
  });

  test.each([
    ['quotas', ['-t', 'ext4', '-O', 'quota']],
    ['files in inodes', ['-t', 'ext4', '-O', 'inline_data']],
    ['ext3', ['-t', 'ext3']],
    ['ext2', ['-t', 'ext2', '-I', '128']],
    ['clusters', ['-t', 'ext4', '-O', 'bigalloc', '-C', '65536']],
  ])('%s', async (_name, mkfs) => {
    const image = system({}, { mkfs });
    // mke2fs -d does not count quotas; a running host has them right.
    run('sh', ['-c', 'e2fsck -fp "$1" || [ $? -eq 1 ]', 'sh', image.ext]);
    await personalise(image);
  });
});

describe('what verify sees', () => {
  test.each([
    ['a name put back', 'echo web1 > $M/etc/hostname', 'host-name: '],
    ['an address put back', 'sed -i s/10.0.0.12/10.0.0.11/ $M/etc/network/interfaces', 'addresses: '],
    ['the old line in hosts', 'echo 10.0.0.11 web1 >> $M/etc/hosts', 'hosts-file: '],
    ['another machine-id', 'echo 00000000000000000000000000000001 > $M/etc/machine-id', 'machine-id: '],
    ['a key taken away', 'rm $M/etc/ssh/ssh_host_ed25519_key', 'ssh-host-keys: '],
    [
      'a public key of another',
      'ssh-keygen -q -t ed25519 -N "" -f $M/key; cp $M/key.pub $M/etc/ssh/ssh_host_ed25519_key.pub',
      'belong together',
    ],
    ['a new file with the address', 'echo listen 10.0.0.11 > $M/etc/app.conf', 'mentions: /etc/app.conf'],
    ['the token of the lead', 'echo TOKEN=token-of-web1-0123456789 > $M/etc/default-app', 'mentions: /etc/default-app'],
    ['a mode changed', 'echo > $M/etc/understudy/agent.json', 'agent: '],
  ])('%s', async (_name, script, problem) => {
    const image = system();
    const plan = await personalise(image);
    withMount(image, script, 'rw');
    const { verified, problems } = await engine.verify(image.path, request, plan, signal);
    expect(verified).toBe(false);
    expect(problems.join('\n')).toContain(problem);
    expect(problems.join('\n')).not.toContain('token-of');
  });
});

test('the golden plan holds no secret', () => {
  const golden = readFileSync(new URL('identity-plan.golden.txt', import.meta.url), 'utf8');
  expect(golden).not.toMatch(/PRIVATE KEY|token-of/);
});
