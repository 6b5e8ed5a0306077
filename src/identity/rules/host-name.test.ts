// Every place that a system reads its own name from, and those where programs have it as their own.
import { describe, expect, it } from 'vitest';
import { memoryTree } from '../../../test/support/memory-tree.ts';
import type { HostIdentity } from '../contract.ts';
import { correspond } from '../correspondence.ts';
import { identify } from '../identify.ts';
import { makePlan } from '../plan.ts';
import { fileTree } from '../tree/mod.ts';
import { hostNameIn, hostNameRule } from './host-name.ts';
import { nameSettingsRule } from './name-settings.ts';

const makers = {
  foresee: () => {},
  sshHostKey: async () => {
    throw new Error('no key is asked for');
  },
};
const LEAD = host('web1', '10.0.0.11');
const SPARE = host('spare1', '10.0.0.12');

function host(hostName: string, address: string): HostIdentity {
  return { hostName, domain: 'example.org', interfaces: [{ name: 'eth0', mac: '', addresses: [`${address}/24`] }] };
}

async function personalised(path: string, text: string): Promise<string> {
  const image = memoryTree({ [path]: text });
  const plan = await makePlan(image, { lead: LEAD, understudy: SPARE }, [hostNameRule, nameSettingsRule], makers);
  expect(plan.unknown).toEqual([]);
  return plan.changes.find((one) => one.path === path)?.after ?? text;
}

describe('where a system reads its own name', () => {
  it.each([
    ['/etc/hostname', '# ours\nweb1\n', '# ours\nspare1\n'],
    ['/etc/HOSTNAME', 'web1.example.org\n', 'spare1.example.org\n'],
    [
      '/etc/sysconfig/network',
      'NETWORKING=yes\nHOSTNAME=web1.example.org\n',
      'NETWORKING=yes\nHOSTNAME=spare1.example.org\n',
    ],
    ['/etc/sysconfig/network', 'HOSTNAME="an-older-name"\n', 'HOSTNAME="spare1"\n'],
    ['/etc/conf.d/hostname', 'hostname="web1"\n', 'hostname="spare1"\n'],
    ['/etc/rc.conf', 'HOSTNAME=web1 # me\n', 'HOSTNAME=spare1 # me\n'],
    [
      '/etc/default/grub',
      'GRUB_CMDLINE_LINUX="quiet systemd.hostname=web1"\n',
      'GRUB_CMDLINE_LINUX="quiet systemd.hostname=spare1"\n',
    ],
    ['/boot/loader/entries/a.conf', 'options systemd.hostname=other ro\n', 'options systemd.hostname=spare1 ro\n'],
    ['/etc/sysctl.d/10-name.conf', 'kernel.hostname = web1\n', 'kernel.hostname = spare1\n'],
    ['/etc/rc.local', '#!/bin/sh\n/bin/hostname web1\n', '#!/bin/sh\n/bin/hostname spare1\n'],
    ['/etc/rc.local', 'hostnamectl set-hostname web1.example.org\n', 'hostnamectl set-hostname spare1.example.org\n'],
    ['/etc/machine-info', 'PRETTY_HOSTNAME="Anna\'s wiki"\nCHASSIS=vm\n', 'PRETTY_HOSTNAME="spare1"\nCHASSIS=vm\n'],
    ['/etc/machine-info', 'PRETTY_HOSTNAME=Wiki\n', 'PRETTY_HOSTNAME=spare1\n'],
  ])('%s: %j', async (path, text, wanted) => expect(await personalised(path, text)).toBe(wanted));

  it.each([
    ['/etc/default/grub', '# systemd.hostname=web1\n'],
    ['/etc/rc.local', 'hostname -F /etc/hostname\n'],
    ['/etc/sysconfig/network', '#HOSTNAME=web1\n'],
  ])('%s says nothing of it: %j', async (path, text) => expect(await personalised(path, text)).toBe(text));

  it.each([
    [{ '/etc/HOSTNAME': 'web1.example.org\n' }, 'web1.example.org'],
    [{ '/etc/sysconfig/network': 'HOSTNAME=web1\n' }, 'web1'],
    [{ '/etc/hostname': '\n', '/etc/conf.d/hostname': 'hostname=web1\n' }, 'web1'],
    [{ '/etc/hostname': '\n' }, ''],
    [{ '/etc/passwd': '\n' }, null],
  ])('%j: %s', async (files, name) => expect(await hostNameIn(fileTree(memoryTree(files)))).toBe(name));

  it('identifies a host of Red Hat Enterprise Linux 6', async () => {
    const nodes = memoryTree({
      '/etc/sysconfig/network': 'NETWORKING=yes\nHOSTNAME=web1.example.org\n',
      '/etc/sysconfig/network-scripts/ifcfg-eth0': 'DEVICE=eth0\nIPADDR=10.0.0.11\nPREFIX=24\nONBOOT=yes\n',
    });
    expect(await identify(fileTree(nodes))).toMatchObject({ hostName: 'web1', domain: 'example.org' });
  });

  it('a system that has its name elsewhere does not get another file for it; one without any does', async () => {
    const planned = async (files: Readonly<Record<string, string>>) => {
      const plan = await makePlan(memoryTree(files), { lead: LEAD, understudy: SPARE }, [hostNameRule], makers);
      return plan.changes.map(({ path }) => path);
    };
    expect(await planned({ '/etc/HOSTNAME': 'web1\n' })).toEqual(['/etc/HOSTNAME']);
    expect(await planned({ '/etc/passwd': '\n' })).toEqual(['/etc/hostname']);
  });

  it('a name that came back is found', async () => {
    const context = {
      ...{ lead: LEAD, understudy: SPARE, findings: [], proof: { sshHostKeys: [], machineId: '' } },
      correspondence: correspond(LEAD, SPARE),
    };
    const files = {
      '/etc/hostname': 'spare1\n',
      '/etc/sysconfig/network': 'HOSTNAME=web1\n',
      '/etc/mailname': 'web1\n',
    };
    const tree = fileTree(memoryTree(files));
    expect(await hostNameRule.verify(tree, context)).toEqual(['/etc/sysconfig/network says "web1" and not "spare1"']);
    expect(await nameSettingsRule.verify(tree, context)).toEqual(['/etc/mailname still has web1']);
  });
});

describe('where programs have the name of the host', () => {
  it.each([
    ['/etc/mailname', 'web1.example.org\n', 'spare1.example.org\n'],
    ['/etc/postfix/main.cf', 'myhostname = web1.example.org\n', 'myhostname = spare1.example.org\n'],
    [
      '/etc/postfix/main.cf',
      'mydestination = $myhostname, web1.example.org,\n  web1, web1.example.net, localhost\nrelayhost = web1.example.org\n',
      'mydestination = $myhostname, spare1.example.org,\n  spare1, web1.example.net, localhost\nrelayhost = web1.example.org\n',
    ],
    [
      '/etc/exim4/update-exim4.conf.conf',
      "dc_other_hostnames='web1;web1.example.org'\n",
      "dc_other_hostnames='spare1;spare1.example.org'\n",
    ],
    [
      '/etc/mail/sendmail.mc',
      "define(`confDOMAIN_NAME', `web1.example.org')dnl\n",
      "define(`confDOMAIN_NAME', `spare1.example.org')dnl\n",
    ],
    ['/etc/samba/smb.conf', '[global]\n\tnetbios name = WEB1\n', '[global]\n\tnetbios name = SPARE1\n'],
    ['/etc/dhcp/dhclient.conf', 'send host-name "web1";\n', 'send host-name "spare1";\n'],
    ['/etc/dhcpcd.conf', 'hostname web1\n', 'hostname spare1\n'],
    ['/etc/network/interfaces', 'iface eth0 inet dhcp\n  hostname web1\n', 'iface eth0 inet dhcp\n  hostname spare1\n'],
    ['/etc/systemd/network/lan.network.d/a.conf', '[DHCPv4]\nHostname=web1\n', '[DHCPv4]\nHostname=spare1\n'],
    ['/etc/avahi/avahi-daemon.conf', 'host-name=web1\n', 'host-name=spare1\n'],
    ['/etc/snmp/snmpd.conf', 'sysName web1.example.org\n', 'sysName spare1.example.org\n'],
  ])('%s: %j', async (path, text, wanted) => expect(await personalised(path, text)).toBe(wanted));

  it('of a lead that is called localhost they stay', async () => {
    const lead: HostIdentity = { ...LEAD, hostName: 'localhost', domain: 'localdomain' };
    const text = 'mydestination = localhost.localdomain, localhost\n';
    const image = memoryTree({ '/etc/postfix/main.cf': text });
    const { changes } = await makePlan(image, { lead, understudy: SPARE }, [nameSettingsRule], makers);
    expect(changes).toEqual([]);
  });

  it.each([
    ['/etc/mailname', 'example.org\n'],
    ['/etc/mailname', 'web1.example.net\n'],
    ['/etc/samba/smb.conf', '[web1]\n\tpath = /srv/web1\n\t# netbios name = web1\n'],
    ['/etc/postfix/main.cf', 'myhostname = mail.example.org\nrelayhost = web1\n'],
    ['/etc/dhcp/dhclient.conf', 'send host-name = gethostname();\n'],
  ])('another one was chosen in %s: %j', async (path, text) => expect(await personalised(path, text)).toBe(text));
});
