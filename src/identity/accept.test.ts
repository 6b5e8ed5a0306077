import { expect, it } from 'vitest';
import { listed, openFindings } from './accept.ts';
import type { Finding } from './contract.ts';

const unknown = (rule: string, path: string): Finding => {
  return { rule, path, value: 'a member', why: 'It votes.', action: 'unknown', confidence: 'certain' };
};
const FOUND = [
  unknown('clusters', '/var/lib/zookeeper/myid'),
  unknown('clusters', '/var/lib/etcd/member/snap/db'),
  unknown('licences', '/opt/cad/node.lic'),
  { ...unknown('cron', '/etc/crontab'), action: 'disable' as const },
];

it.each([
  [[], ['/var/lib/zookeeper/myid', '/var/lib/etcd/member/snap/db', '/opt/cad/node.lic']],
  [['clusters:/var/lib/zookeeper/myid', 'licences'], ['/var/lib/etcd/member/snap/db']],
  // Of several, who names the rule alone may have seen one only.
  [
    ['clusters', 'licences'],
    ['/var/lib/zookeeper/myid', '/var/lib/etcd/member/snap/db'],
  ],
  [
    ['zookeeper', 'cluster', 'clusters:', 'clusters:/var/lib/zookeeper', 'licences:*'],
    ['/var/lib/zookeeper/myid', '/var/lib/etcd/member/snap/db'],
  ],
  [['clusters:/var/lib/*', 'licences:/opt/*/node.lic'], []],
])('accept - %j leaves %j to be decided', (accept, open) => {
  expect(openFindings(FOUND, accept).map(({ path }) => path)).toEqual(open);
});

it('accept - a finding is listed by what accepts it', () => {
  const [line = ''] = listed(FOUND);
  expect(openFindings(FOUND.slice(0, 1), [line.split('  ')[0] ?? ''])).toEqual([]);
});
