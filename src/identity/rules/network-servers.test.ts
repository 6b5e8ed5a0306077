import { expect, it } from 'vitest';
import { type MemoryNode, memoryTree } from '../../../test/support/memory-tree.ts';
import { LEAD, SPARE } from '../../../test/support/system-image.ts';
import { fileTree } from '../tree/mod.ts';
import { declaredRules } from './declared/mod.ts';

const DHCPD = { '/etc/dhcp/dhcpd.conf': 'subnet 10.0.9.0 netmask 255.255.255.0 {\n  range 10.0.9.10 10.0.9.99;\n}\n' };
const LEASES = 'lease 10.0.9.10 {\n  hardware ethernet 52:54:00:00:00:77;\n}\n';

async function actions(rule: string, files: Readonly<Record<string, MemoryNode>>): Promise<string[]> {
  const own = declaredRules.find(({ name }) => name === rule);
  const context = { lead: LEAD, understudy: SPARE, claimed: new Set<string>() };
  const found = (await own?.find(fileTree(memoryTree(files)), context)) ?? [];
  return found.map(({ path, action }) => `${path} ${action}`);
}

it.each<[string, Readonly<Record<string, MemoryNode>>, string]>([
  ['a configuration that nothing uses', {}, 'keep'],
  ['one that has given leases', { '/var/lib/dhcp/dhcpd.leases': LEASES }, 'unknown'],
  ['one with an empty file of leases', { '/var/lib/dhcp/dhcpd.leases': '' }, 'keep'],
  ['a link of a run level', { '/etc/rc3.d/S01isc-dhcp-server': '#!/bin/sh\n' }, 'disable'],
  [
    'a unit that starts',
    { '/etc/systemd/system/multi-user.target.wants/dhcpd.service': { link: '/usr/lib/systemd/system/dhcpd.service' } },
    'disable',
  ],
])('network servers - a DHCP server: %s', async (_, files, action) => {
  expect(await actions('network-servers', { ...DHCPD, ...files })).toEqual([`/etc/dhcp/dhcpd.conf ${action}`]);
});

it('network servers - leases of a server are its data; those of a client beside them are not', async () => {
  const files = {
    '/var/lib/dhcp/dhcpd.leases': LEASES,
    '/var/lib/dhcp/dhcpd6.leases': 'ia-na "\\001" {\n}\n',
    '/var/lib/dhcp/dhclient.leases': 'lease {\n  interface "eth0";\n}\n',
    '/var/lib/dhcp/dhclient6.leases': 'default-duid "\\000\\001";\nlease6 {\n}\n',
    '/var/lib/dhcpd/dhcpd.leases': LEASES,
    '/var/lib/kea/kea-leases4.csv': 'address,hwaddr\n10.0.9.10,52:54:00:00:00:77\n',
  };
  const [one, two] = ['/var/lib/dhcp/dhclient.leases regenerate', '/var/lib/dhcp/dhclient6.leases regenerate'];
  expect(await actions('dhcp', files)).toEqual([one, two]);
});
