// Files as Ubuntu, Fedora, Red Hat and SUSE write them, for an understudy whose network differs in every respect.
import { describe, expect, it } from 'vitest';
import { memoryTree } from '../../../test/support/memory-tree.ts';
import type { HostIdentity } from '../contract.ts';
import { correspond } from '../correspondence.ts';
import { ifcfg } from './ifcfg.ts';
import { netplan } from './netplan.ts';
import { networkManager } from './network-manager.ts';

const lead: HostIdentity = {
  hostName: 'web1',
  interfaces: [
    { name: 'eth0', mac: '52:54:00:00:00:11', addresses: ['10.0.0.11/24', 'fd00::11/64'], gateway: '10.0.0.1' },
    { name: 'eth1', mac: '52:54:00:00:01:11', addresses: ['192.168.9.11/24'] },
  ],
};
const other: HostIdentity = {
  hostName: 'spare1',
  interfaces: [{ name: 'ens3', mac: '52:54:00:00:00:12', addresses: ['10.7.0.12/16'], gateway: '10.7.0.1' }],
};
const pairs = correspond(lead, other);

describe('netplan', () => {
  const rewrite = (text: string) => netplan.rewrite(text, '', pairs);

  it('names, addresses, gateways and references become the others; what has no place goes', () => {
    const text = [
      'network:',
      '  ethernets:',
      '    eth0: # outside',
      '      addresses:',
      '        - 10.0.0.11/24',
      "        - 'fd00::11/64'",
      '      gateway4: 10.0.0.1',
      '    eth1:',
      '      addresses: [192.168.9.11/24, 192.168.9.12/24]',
      '  bridges:',
      '    br0:',
      '      interfaces: [eth0]',
      '',
    ].join('\n');
    const { text: after, strange } = rewrite(text);
    expect(after).toBe(
      [
        'network:',
        '  ethernets:',
        '    ens3: # outside',
        '      addresses:',
        '        - 10.7.0.12/16',
        '      gateway4: 10.7.0.1',
        '    eth1:',
        '      addresses: [192.168.9.12/24]',
        '  bridges:',
        '    br0:',
        '      interfaces: [ens3]',
        '',
      ].join('\n'),
    );
    expect(strange).toEqual(['192.168.9.12/24']);
    expect(rewrite(after).text).toBe(after);
  });

  it('addresses with options, and default routes', () => {
    const text =
      'network:\n  ethernets:\n    nic:\n      match:\n        macaddress: 52:54:00:00:00:11\n      addresses:\n' +
      '      - "10.0.0.11/24": {label: "a:1"}\n      routes:\n      - to: 0.0.0.0/0\n        via: "10.0.0.1"\n      - to: 10.9.0.0/16\n        via: 10.0.0.7\n';
    expect(rewrite(text).text).toBe(
      text
        .replace('10.0.0.11/24', '10.7.0.12/16')
        .replace('"10.0.0.1"', '"10.7.0.1"')
        .replace('52:54:00:00:00:11', '52:54:00:00:00:12'),
    );
  });

  it.each([
    ['aliases', 'network:\n  ethernets:\n    eth0: &a {dhcp4: true}\n    eth1: *a\n'],
    ['nesting without end', `network: ${'['.repeat(100_000)}`],
    ['a file without end', `network: {}\n${'# x\n'.repeat(100_000)}`],
    ['no YAML', 'network: "\n  - {'],
  ])('%s: not read, and said to be so', async (_, text) => {
    const entry = {
      path: '/etc/netplan/a.yaml',
      kind: 'file',
      mode: 0o600,
      uid: 0,
      gid: 0,
      links: 1,
      target: null,
    } as const;
    const file = { ...entry, sizeBytes: text.length };
    const folder = { ...file, kind: 'folder' } as const;
    const tree = {
      nodes: memoryTree({}),
      uuid: null,
      disk: { attached: [], swaps: [], unread: [] },
      stat: async (path: string) => (path === file.path ? file : folder),
      lstat: async (path: string) => (path === file.path ? file : folder),
      place: async () => ({ path: file.path, entry: file }),
      list: async (path: string) => (path === '/etc/netplan' ? ['a.yaml'] : []),
      read: async () => Buffer.from(text),
    };
    expect((await netplan.files(tree)).map((source) => source.file.status)).toEqual(['unusable']);
  });

  it('says which interfaces have their addresses from DHCP', () => {
    const { dynamic } = netplan.facts('network:\n  ethernets:\n    eth0:\n      dhcp4: true\n', '');
    expect(dynamic.map(({ family, matches }) => [family, lead.interfaces.map(matches)])).toEqual([[4, [true, false]]]);
  });
});

describe('NetworkManager', () => {
  const rewrite = (text: string) => networkManager.rewrite(text, text, pairs);

  it('both ways of writing addresses, and a gateway of its own', () => {
    const text =
      '[connection]\ninterface-name=eth0\n[802-3-ethernet]\nmac-address=52:54:00:00:00:11\n[ipv4]\nmethod=manual\n' +
      'addresses=10.0.0.11/24;\ngateway=10.0.0.1\nroute1=10.9.0.0/16,10.0.0.7\n[ipv6]\nmethod=manual\naddress1=fd00::11/64\n';
    const { text: after, strange } = rewrite(text);
    expect(after).toBe(
      '[connection]\ninterface-name=ens3\n[802-3-ethernet]\nmac-address=52:54:00:00:00:12\n[ipv4]\nmethod=manual\n' +
        'addresses=10.7.0.12/16;\ngateway=10.7.0.1\nroute1=10.9.0.0/16,10.0.0.7\n[ipv6]\nmethod=manual\n',
    );
    expect(strange).toEqual([]);
    expect(rewrite(after).text).toBe(after);
  });

  it('a profile for another interface keeps its addresses, which are nobody’s', () => {
    const text = '[connection]\ninterface-name=eth7\n[ipv4]\nmethod=manual\naddress1=172.16.0.1/24,172.16.0.254\n';
    expect(rewrite(text)).toEqual({ text, strange: ['172.16.0.1/24'] });
  });
});

describe('ifcfg', () => {
  const rewrite = (text: string, name = 'eth0') => ifcfg.rewrite(text, `${name}\n${text}`, pairs);

  it('Red Hat: prefix and netmask go with the address; what is computed from them goes', () => {
    const text =
      'DEVICE="eth0"\nIPADDR=10.0.0.11 # mine\nNETMASK=255.255.255.0\nNETWORK=10.0.0.0\nBROADCAST=10.0.0.255\nGATEWAY=10.0.0.1\nIPV6ADDR=fd00::11/64\n';
    const { text: after, strange } = rewrite(text);
    expect(after).toBe('DEVICE="ens3"\nIPADDR=10.7.0.12 # mine\nNETMASK=255.255.0.0\nGATEWAY=10.7.0.1\n');
    expect(strange).toEqual([]);
    expect(rewrite(after).text).toBe(after);
  });

  it('SUSE: addresses with their prefix, and routes in a file of their own', () => {
    expect(rewrite("BOOTPROTO='static'\nIPADDR='10.0.0.11/24'\nIPADDR_1='10.0.0.99/24'\n")).toEqual({
      text: "BOOTPROTO='static'\nIPADDR='10.7.0.12/16'\nIPADDR_1='10.0.0.99/24'\n",
      strange: ['10.0.0.99/24', 'a file named for eth0'],
    });
    expect(rewrite('default 10.0.0.1 - -\n10.9.0.0/16 10.0.0.7 - -\n', '').text).toBe(
      'default 10.7.0.1 - -\n10.9.0.0/16 10.0.0.7 - -\n',
    );
  });

  it('says which interfaces have their addresses from DHCP', () => {
    const text = 'BOOTPROTO=dhcp\n';
    const { dynamic } = ifcfg.facts(text, `eth1\n${text}`);
    expect(dynamic.map(({ family, matches }) => [family, lead.interfaces.map(matches)])).toEqual([[4, [false, true]]]);
  });
});
