// `understudy inspect`, `personalise` and `rules test` as processes, on a real image.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ErrorCode, errorRegistry, runTool } from '../../src/base/mod.ts';
import { patience } from '../rig/patience.ts';
import { attachLoop, run } from '../support/disk-image.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';
import {
  catFile,
  checkImage,
  digestOfFile,
  makeImage,
  type SystemImage,
  sshKeyFiles,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
let folder: string;
let disk: SystemImage;
let spare: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-cli-identity-'));
  const files = {
    ...systemFiles(),
    ...sshKeyFiles(folder, ['ed25519']),
    '/etc/cron.d/invoices': '5 4 * * * root /usr/local/bin/invoices --key hidden-word\n',
    '/etc/shop/node.conf': 'node_id = 17-ab\n# node_id = 0\nlisten = 10.0.0.11\n',
  };
  disk = makeImage(join(folder, 'web1.img'), writeTree(join(folder, 'tree'), files));
  spare = file(
    'spare1.yaml',
    'hostName: spare1\ndomain: example.org\ninterfaces:\n  - name: eth0\n    mac: 52:54:00:00:00:12\n' +
      '    addresses: [10.0.0.12/24]\n    gateway: 10.0.0.1\n',
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

function understudy(...args: readonly string[]) {
  // The state of a crash, which there is none of here, would lie in the folder for temporary files.
  return runTool(process.execPath, [PROGRAM, ...args], { env: { TMPDIR: folder }, timeoutMs: patience(60_000) });
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await understudy(...args, '--json');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^[^\n]+\n$/);
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function refusal(code: ErrorCode, ...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await understudy(...args);
  expect({ status, stdout }).toEqual({ status: errorRegistry[code].exit, stdout: '' });
  expect(stderr).toContain(`(${code})\n`);
  return stderr;
}

test('inspect - a report for people, who the host is being read from its image', async () => {
  const before = digestOfFile(disk.path);
  const { status, stdout, stderr } = await understudy('inspect', disk.path);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^.*web1\.img: debian 12 for x86_64, web1\.example\.org \(10\.0\.0\.11\/24\)\n\nunknown:\n/);
  expect(stdout).toContain('  mentions  /etc/shop/node.conf  10.0.0.11 in line 3');
  expect(stdout).toContain('  cron  /etc/cron.d/invoices  line 1: /usr/local/bin/invoices\n');
  expect(stdout).not.toMatch(/hidden-word|token-of-web1/);
  expect(stdout).toMatch(/\n\d+ findings: \d+ are changed on a clone, \d+ stay, 1 to be decided by you\n$/);
  expect(digestOfFile(disk.path)).toBe(before);
});

test('inspect - JSON of the documented shape', async () => {
  const answer = await json('inspect', disk.path);
  expect(shapeDifferences(documentedJson('inspect'), answer)).toEqual([]);
  expect(answer).toMatchObject({ image: disk.path, os: { id: 'debian', version: '12', arch: 'x86_64' } });
});

test('inspect - an image that does not say whose it is', async () => {
  withMount(disk, 'rm $M/etc/hostname', 'rw');
  const { status, stdout, stderr } = await understudy('inspect', disk.path);
  expect(stderr).toContain('the image has no host name');
  expect([status, stdout.includes('host not known')]).toEqual([0, true]);
});

test('personalise - shows the plan and changes nothing, then does it and verifies it', async () => {
  const args = ['personalise', disk.path, '--as', spare];
  const before = digestOfFile(disk.path);
  const shown = await understudy(...args);
  expect([shown.status, shown.stderr]).toEqual([0, '']);
  expect(shown.stdout).toContain('-web1\n+spare1\n');
  expect(shown.stdout).toMatch(/1 to be decided by you; nothing is changed; --apply does it\n$/);
  expect(await refusal('IDENTITY_UNKNOWN', ...args, '--apply')).toContain('  mentions:/etc/shop/node.conf  10.0.0.11');
  expect(digestOfFile(disk.path)).toBe(before);

  const answer = await json(...args, '--accept', 'mentions', '--apply');
  expect(answer).toMatchObject({ lead: 'web1', applied: true, verified: true });
  expect(shapeDifferences(documentedJson('personalise'), answer)).toEqual([]);
  expect(JSON.stringify(answer)).not.toMatch(/hidden-word|PRIVATE KEY|token-of-web1/);
  expect(checkImage(disk)).toBe('');
  expect(catFile(disk, '/etc/hostname')).toBe('spare1\n');
  const { sshHostKeys } = answer.proof as { sshHostKeys: string[] };
  const key = withMount(disk, 'ssh-keygen -l -f $M/etc/ssh/ssh_host_ed25519_key');
  expect(sshHostKeys.map((one) => key.includes(one))).toEqual([true]);

  // Again, and what was accepted is not asked again.
  const after = digestOfFile(disk.path);
  expect(await json(...args, '--apply')).toMatchObject({
    verified: true,
    unknown: 0,
    changes: [],
    proof: answer.proof,
  });
  const again = await understudy(...args, '--apply');
  expect([again.status, again.stdout.endsWith('; nothing had to be changed; verified\n')]).toEqual([0, true]);
  expect(digestOfFile(disk.path)).toBe(after);
});

test('personalise - for a host with other hardware and a larger disk', async () => {
  withMount(disk, 'echo "/dev/sda1 / ext4 defaults 0 1" > $M/etc/fstab', 'rw');
  truncateSync(disk.path, 200 * 1024 * 1024);
  const answer = await json(
    ...['personalise', disk.path, '--as', spare, '--accept', 'mentions', '--other-hardware', '--grow', '--apply'],
  );
  expect(answer).toMatchObject({ applied: true, verified: true });
  expect(catFile(disk, '/etc/fstab')).toMatch(/^UUID=[0-9a-f-]{36} \/ ext4 defaults 0 1\n$/);
  const [size = 0, blocks = 0] = withMount(disk, 'stat -f -c "%S %b" $M').trim().split(' ').map(Number);
  expect(size * blocks).toBeGreaterThan(160 * 1024 * 1024);
});

test('personalise - a device that is mounted is as it was', async () => {
  const device = attachLoop(disk.path);
  const mountpoint = join(folder, 'mounted');
  run('mkdir', [mountpoint]);
  run('mount', ['-o', 'ro', device, mountpoint]);
  try {
    const before = digestOfFile(disk.path);
    await refusal('TARGET_IN_USE', 'personalise', device, '--as', spare, '--accept', 'mentions', '--apply');
    expect(digestOfFile(disk.path)).toBe(before);
  } finally {
    run('umount', [mountpoint]);
    run('losetup', ['--detach', device]);
  }
});

const RULES = `rules:
  - name: shop-node
    why: The shop knows its nodes by this.
    path: ['/etc/shop/*.conf']
    lines: '^node_id\\s*=\\s*(\\S+)'
    action: replace
    with: '{{hostName}}-{{number}}'
  - name: shop-node
    why: It listens at the address of the host.
    path: ['/etc/shop/*.conf']
    lines: '^listen\\s*=\\s*(\\S+)'
    action: replace
    with: '{{address}}'
keep:
  - rule: cron
    path: /etc/cron.d/invoices
    because: The database says whose turn it is.
`;

test('rules of your own - tried alone, then beside those that come with the program', async () => {
  const rules = file('rules.yaml', RULES);
  const tried = await understudy('rules', 'test', rules, disk.path, '--as', spare);
  expect([tried.status, tried.stderr]).toEqual([0, '']);
  expect(tried.stdout).toMatch(/-node_id = 17-ab\n(.*\n)*?\+node_id = spare1-\d+\n/);
  expect(tried.stdout).not.toContain('host-name');
  const answer = await json('personalise', disk.path, '--as', spare, '--rules', rules, '--apply');
  expect(answer).toMatchObject({ verified: true, unknown: 0 });
  expect(catFile(disk, '/etc/shop/node.conf')).toMatch(
    /^node_id = spare1-\d+\n# node_id = 0\nlisten = 10\.0\.0\.12\n$/,
  );
  expect(catFile(disk, '/etc/cron.d/invoices')).toMatch(/^5 4 /);
});

test('rules of your own - what is wrong with them is said with its place', async () => {
  const wrong = [
    ['  - name: a\n    why: b\n    path: [/x]\n    action: replace\n', '"replace" needs "lines"'],
    ["  - name: a\n    why: b\n    path: [/x]\n    lines: '('\n    action: comment\n", 'is not a regular expression'],
    ['  - name: a\n    why: b\n    path: [/x]\n    action: destroy\n', 'rules.yaml:5:13'],
    [
      "  - name: a\n    why: b\n    path: [/x]\n    lines: x\n    action: replace\n    with: '{{nam}}'\n",
      'no "{{nam}}"',
    ],
    ['  - name: cron\n    why: b\n    path: [/x]\n    action: keep\n', 'comes with the program'],
  ] as const;
  for (const [text, message] of wrong) {
    const stderr = await refusal(
      'CONFIG_INVALID',
      'inspect',
      disk.path,
      '--rules',
      file('rules.yaml', `rules:\n${text}`),
    );
    expect(stderr).toContain(message);
  }
});

test('what is no image, or no host, is refused with its reason', async () => {
  await refusal('IMAGE_UNSUPPORTED', 'inspect', join(folder, 'nothing.img'));
  await refusal('IMAGE_UNSUPPORTED', 'inspect', spare);
  await refusal('CONFIG_UNREADABLE', 'personalise', disk.path, '--as', join(folder, 'nobody.yaml'));
  const stderr = await refusal(
    'CONFIG_INVALID',
    'personalise',
    disk.path,
    '--as',
    file('half.yaml', 'hostName: Spare1\n'),
  );
  expect(stderr).toContain('half.yaml:1:');
  expect(readFileSync(disk.path).length).toBeGreaterThan(0);
});
