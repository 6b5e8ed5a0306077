import { describe, expect, it } from 'vitest';
import { type MemoryNode, memoryTree } from '../../../test/support/memory-tree.ts';
import { LEAD } from '../../../test/support/system-image.ts';
import { fileTree } from '../tree/mod.ts';
import { declaredRules } from './declared/mod.ts';
import { identitySignsRule } from './identity-signs.ts';

const own = (text: string, mode = 0o600): MemoryNode => ({ text, mode });

async function found(files: Readonly<Record<string, MemoryNode>>, seen: readonly string[] = []): Promise<string[]> {
  const context = { lead: LEAD, understudy: null, claimed: new Set<string>(), found: new Set(seen) };
  const findings = await identitySignsRule.find(fileTree(memoryTree(files)), context);
  expect(findings.every(({ action, confidence }) => action === 'unknown' && confidence === 'guess')).toBe(true);
  return findings.map(({ path, value }) => `${path}  ${value}`);
}

describe('what looks like an identity', () => {
  it.each([
    ...['/opt/shop/state/node-id', '/srv/farm/node.id', '/var/lib/farm/nodeid', '/var/lib/farm/zk-node-1-id.txt'],
    ...['/var/lib/farm/host_uuid', '/var/lib/farm/hostUuid', '/opt/farm/instance_id.json', '/opt/farm/instance-uuid'],
    ...['/opt/farm/keys/host1.priv', '/srv/sftp/ssh_host_key', '/opt/farm/hostkey.pem', '/opt/stream/meta.properties'],
    ...[
      '/var/lib/farm/raft/raft.db',
      '/opt/quorum/myid',
      '/var/opt/farm/agent.guid',
      '/srv/disk1/.minio.sys/format.json',
    ],
    ...['/var/lib/farm/identity', '/opt/farm/machine-identifier', '/opt/farm/device.serial'],
  ])('%s, by its name', async (path) => {
    expect(await found({ [path]: 'x\n' })).toEqual([`${path}  looks like an identity by its name`]);
  });

  it.each([
    ...['/opt/shop/lib/node_id.py', '/opt/shop/node_modules/uuid/uuid', '/var/lib/dpkg/info/host-id', '/etc/host-id'],
    ...['/opt/shop/include/host_key.h', '/srv/www/video', '/srv/www/hostess', '/opt/shop/nodes', '/srv/www/guide'],
    ...[
      '/var/lib/postgresql/15/main/node-id',
      '/var/lib/docker/overlay2/0a/diff/opt/host-id',
      '/opt/shop/docs/node-id',
    ],
  ])('not %s', async (path) => expect(await found({ [path]: 'x\n' })).toEqual([]));

  it('a small file that only its owner may read, but not a large or an empty one, or one of all', async () => {
    const files = {
      '/var/lib/shop/state': own('17-ab\n'),
      '/var/lib/shop/other': own('17-ab\n', 0o640),
      '/var/lib/shop/empty': own(''),
      '/var/lib/shop/large': own('x'.repeat(5000)),
      '/var/lib/shop/program': own('#!/bin/sh\n', 0o700),
      '/var/lib/selinux/targeted/active/commit_num': own('x'),
    };
    expect(await found(files)).toEqual(['/var/lib/shop/state  a small file that only its owner may read']);
  });

  it('nothing that another rule has said something about, and many in one folder once', async () => {
    expect(await found({ '/var/lib/zookeeper/myid': '2\n' }, ['/var/lib/zookeeper/myid'])).toEqual([]);
    const many = Array.from({ length: 400 }, (_, number) => [`/srv/spool/job-${number}`, own('x')] as const);
    expect(await found(Object.fromEntries(many))).toEqual(['/srv/spool  400 files']);
  });
});

it('a clue that is found in thousands of files of one folder is one finding with their number', async () => {
  const many = Array.from({ length: 3000 }, (_, number) => [`/opt/cad/licences/${number}.lic`, 'x'] as const);
  const context = { lead: LEAD, understudy: null, claimed: new Set<string>() };
  const licences = declaredRules.find(({ name }) => name === 'licences');
  const findings = await licences?.find(fileTree(memoryTree(Object.fromEntries(many))), context);
  expect(findings?.map(({ path, value }) => [path, value])).toEqual([['/opt/cad/licences', 'a licence: 3000 files']]);
});
