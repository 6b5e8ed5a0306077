// Networks of more than one card, and of more than one file, for an understudy: what comes out is read by the systems'
// own tools.
import { describe, expect, test } from 'vitest';
import { eth0, expectRead, host, M1, M2, N1, N2, ONE, plannedNetwork, TWO } from '../support/network-plan.ts';

const NETPLAN_BOND = `network:
  version: 2
  ethernets:
    slave1:
      match: {macaddress: "${M1}"}
      set-name: eth0
    slave2:
      match: {macaddress: "${M2}"}
      set-name: eth1
  bonds:
    bond0:
      interfaces: [slave1, slave2]
      parameters: {mode: active-backup, primary: slave1}
      addresses: [10.0.0.11/24]
      routes: [{to: default, via: 10.0.0.1}]
`;
const keyfile = (name: string, mac: string, more: string): string =>
  `[connection]\nid=${name}\nuuid=uuid-of-${name}\ntype=ethernet\ninterface-name=${name}\n${more}\n[ethernet]\nmac-address=${mac}\n`;

describe('bonds', () => {
  const bonds: readonly (readonly [string, Readonly<Record<string, string>>, readonly string[]])[] = [
    ['netplan', { '/etc/netplan/01.yaml': NETPLAN_BOND }, ['/etc/netplan/01.yaml']],
    [
      'ifcfg',
      {
        '/etc/sysconfig/network-scripts/ifcfg-bond0':
          'DEVICE=bond0\nTYPE=Bond\nBONDING_MASTER=yes\nIPADDR=10.0.0.11\nPREFIX=24\nGATEWAY=10.0.0.1\n',
        '/etc/sysconfig/network-scripts/ifcfg-eth0': `DEVICE=eth0\nHWADDR=${M1}\nMASTER=bond0\nSLAVE=yes\n`,
        '/etc/sysconfig/network-scripts/ifcfg-eth1': `DEVICE=eth1\nHWADDR=${M2}\nMASTER=bond0\nSLAVE=yes\n`,
      },
      ['/etc/sysconfig/network-scripts/ifcfg-eth0', '/etc/sysconfig/network-scripts/ifcfg-eth1'],
    ],
    [
      'NetworkManager',
      {
        '/etc/NetworkManager/system-connections/bond0.nmconnection':
          '[connection]\nid=bond0\nuuid=b\ntype=bond\ninterface-name=bond0\n[ipv4]\nmethod=manual\naddress1=10.0.0.11/24,10.0.0.1\n',
        '/etc/NetworkManager/system-connections/eth0.nmconnection': keyfile(
          'eth0',
          M1,
          'master=bond0\nslave-type=bond\n',
        ),
        '/etc/NetworkManager/system-connections/eth1.nmconnection': keyfile(
          'eth1',
          M2,
          'master=bond0\nslave-type=bond\n',
        ),
      },
      [
        '/etc/NetworkManager/system-connections/eth0.nmconnection',
        '/etc/NetworkManager/system-connections/eth1.nmconnection',
      ],
    ],
    [
      'networkd, cards named by .link',
      {
        '/etc/systemd/network/10-a.link': `[Match]\nPermanentMACAddress=${M1}\n[Link]\nName=eth0\n`,
        '/etc/systemd/network/10-b.link': `[Match]\nPermanentMACAddress=${M2}\n[Link]\nName=eth1\n`,
        '/etc/systemd/network/20-bond.netdev': '[NetDev]\nName=bond0\nKind=bond\n',
        '/etc/systemd/network/20-bond.network':
          '[Match]\nName=bond0\n[Network]\nAddress=10.0.0.11/24\nGateway=10.0.0.1\n',
        '/etc/systemd/network/30-slaves.network': '[Match]\nName=eth0 eth1\n[Network]\nBond=bond0\n',
      },
      ['/etc/systemd/network/10-a.link', '/etc/systemd/network/10-b.link'],
    ],
    [
      'networkd, cards matched where they are used',
      {
        '/etc/systemd/network/20-bond.netdev': '[NetDev]\nName=bond0\nKind=bond\n',
        '/etc/systemd/network/20-bond.network':
          '[Match]\nName=bond0\n[Network]\nAddress=10.0.0.11/24\nGateway=10.0.0.1\n',
        '/etc/systemd/network/30-slaves.network': `[Match]\nMACAddress=${M1} ${M2.replaceAll(':', '-')}\n[Network]\nBond=bond0\n`,
      },
      ['/etc/systemd/network/30-slaves.network'],
    ],
    [
      'ifupdown, cards named by udev',
      {
        '/etc/udev/rules.d/70-persistent-net.rules': [
          ['52:54:00:ff:ff:01', 'eth7'],
          [M1, 'eth0'],
          [M2, 'eth1'],
        ]
          .map(([mac, name]) => `SUBSYSTEM=="net", ATTR{address}=="${mac}", NAME="${name}"\n`)
          .join(''),
        '/etc/network/interfaces':
          'auto bond0\niface bond0 inet static\n  address 10.0.0.11/24\n  gateway 10.0.0.1\n  bond-slaves eth0 eth1\n  bond-mode 1\n',
      },
      ['/etc/udev/rules.d/70-persistent-net.rules'],
    ],
  ];

  test.each(bonds)('%s - each card of the bond is bound to one of the understudy', async (_, files, bound) => {
    const planned = await plannedNetwork(files, TWO);
    const { text, unknown } = planned;
    expect(unknown).toEqual([]);
    await expectRead(files, planned);
    const all = (await Promise.all(Object.keys(files).map(text))).join('\n').toLowerCase().replaceAll('-', ':');
    for (const mac of [M1, M2]) expect(all).not.toContain(mac);
    for (const mac of [N1, N2]) expect(all).toContain(mac);
    expect(all).toMatch(/10\.0\.0\.12/);
    for (const path of bound) expect(await text(path)).not.toBe(files[path]);
  });

  test.each(bonds)('%s - a card that the understudy has not is for people to decide', async (_, files) => {
    const { text, unknown } = await plannedNetwork(files, ONE);
    expect(unknown.filter((line) => line.startsWith('interfaces '))).toHaveLength(1);
    const all = (await Promise.all(Object.keys(files).map(text))).join('\n');
    expect(all).not.toMatch(/(?<![\d.])10\.0\.0\.11\b/);
    expect(all).toContain('bond0');
    expect(all.toLowerCase()).toContain(N1);
    expect(all.toLowerCase()).not.toContain(M1);
  });

  test('a bond has the hardware address of one of its cards: no other card gets what is in its place', async () => {
    const lead = {
      hostName: 'web1',
      interfaces: [{ name: 'bond0', mac: M2, addresses: ['10.0.0.11/24'], gateway: '10.0.0.1' }],
    };
    const path = '/etc/netplan/01.yaml';
    const { text, unknown } = await plannedNetwork({ [path]: NETPLAN_BOND }, host({ ...eth0, name: 'bond0' }), lead);
    expect(unknown.filter((line) => line.startsWith('interfaces '))).toEqual([
      `interfaces ${path} eth0, part of bond0`,
    ]);
    expect(await text(path)).toBe(NETPLAN_BOND.replace(M2, N1).replace('10.0.0.11', '10.0.0.12'));
  });

  test('a bond of more cards than a report has room for', async () => {
    const cards = Array.from({ length: 2000 }, (_, index) => `card${index}`).join(' ');
    const bond = `iface bond0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n\tbond-slaves ${cards}\n`;
    const { unknown } = await plannedNetwork({ '/etc/network/interfaces': bond }, ONE);
    const cardless = unknown.filter((line) => line.startsWith('interfaces '));
    expect(cardless).toHaveLength(101);
    expect(cardless.at(-1)).toBe('interfaces /etc 1899 more');
  });

  test.each([
    ['/etc/sysconfig/network-scripts/ifcfg-eth1', `DEVICE=eth1\nHWADDR=${M2}\nONBOOT=no\n`],
    ['/etc/NetworkManager/system-connections/b', keyfile('eth1', M2, 'autoconnect=false\n')],
  ])('%s - a card that nothing starts need not be there', async (path, text) => {
    const lan = 'iface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n';
    const { unknown } = await plannedNetwork({ '/etc/network/interfaces': lan, [path]: text }, ONE);
    expect(unknown).toEqual([]);
  });

  test('the hardware address of a card without addresses is looked for wherever it may be', async () => {
    const files = { '/etc/netplan/01.yaml': NETPLAN_BOND, '/etc/app.conf': `licence=${M2.replaceAll(':', '-')}\n` };
    const { unknown } = await plannedNetwork(files, TWO);
    expect(unknown).toEqual([`mentions /etc/app.conf ${M2} in line 1`]);
  });

  test('hardware addresses that a host gives itself would exist twice', async () => {
    const set = '52:54:00:aa:aa:aa';
    const { unknown } = await plannedNetwork(
      {
        '/etc/systemd/network/br0.netdev': `[NetDev]\nName=br0\nKind=bridge\nMACAddress=${set}\n`,
        '/etc/network/interfaces': `iface eth0 inet static\n  address 10.0.0.11/24\n  hwaddress ether ${set}\n`,
      },
      ONE,
    );
    expect(unknown).toContain(`interfaces /etc/systemd/network/br0.netdev ${set}`);
    expect(unknown).toContain(`interfaces /etc/network/interfaces ${set}`);
  });
});

describe('kinds of interfaces', () => {
  const ens3 = { ...eth0, name: 'ens3' };
  const kinds: readonly (readonly [string, Readonly<Record<string, string>>, Readonly<Record<string, string>>])[] = [
    [
      'a bridge of Proxmox in ifupdown',
      {
        '/etc/network/interfaces':
          'auto lo vmbr0\niface lo inet loopback\niface eth0 inet manual\niface vmbr0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n\tbridge-ports eth0\n\tbridge_stp off\n',
      },
      {
        '/etc/network/interfaces':
          'auto lo vmbr0\niface lo inet loopback\niface ens3 inet manual\niface vmbr0 inet static\n\taddress 10.0.0.12/24\n\tgateway 10.0.0.1\n\tbridge-ports ens3\n\tbridge_stp off\n',
      },
    ],
    [
      'a VLAN that is named by its card in ifupdown',
      {
        '/etc/network/interfaces':
          'auto eth0 eth0.100\niface eth0 inet manual\niface eth0.100 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n',
      },
      {
        '/etc/network/interfaces':
          'auto ens3 ens3.100\niface ens3 inet manual\niface ens3.100 inet static\n\taddress 10.0.0.12/24\n\tgateway 10.0.0.1\n',
      },
    ],
    [
      'a VLAN of a name of its own in ifupdown',
      {
        '/etc/network/interfaces':
          'auto vlan100\niface vlan100 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n\tvlan_raw_device eth0\n',
      },
      {
        '/etc/network/interfaces':
          'auto vlan100\niface vlan100 inet static\n\taddress 10.0.0.12/24\n\tgateway 10.0.0.1\n\tvlan_raw_device ens3\n',
      },
    ],
    [
      'a VLAN on a bond in netplan',
      {
        '/etc/netplan/a.yaml': `network:
  version: 2
  ethernets:
    eth0: {}
  bonds:
    bond0:
      interfaces: [eth0]
      parameters: {mode: active-backup, primary: eth0}
  vlans:
    lan:
      id: 100
      link: bond0
      addresses: [10.0.0.11/24]
      routes: [{to: default, via: 10.0.0.1}]
`,
      },
      {
        '/etc/netplan/a.yaml': `network:
  version: 2
  ethernets:
    ens3: {}
  bonds:
    bond0:
      interfaces: [ens3]
      parameters: {mode: active-backup, primary: ens3}
  vlans:
    lan:
      id: 100
      link: bond0
      addresses: [10.0.0.12/24]
      routes: [{to: default, via: 10.0.0.1}]
`,
      },
    ],
    [
      'a bridge in netplan, with costs by port',
      {
        '/etc/netplan/a.yaml':
          'network:\n  ethernets:\n    eth0: {dhcp4: false}\n  bridges:\n    br0:\n      interfaces: [eth0]\n      parameters:\n        path-cost:\n          eth0: 10\n      addresses: [10.0.0.11/24]\n      gateway4: 10.0.0.1\n',
      },
      {
        '/etc/netplan/a.yaml':
          'network:\n  ethernets:\n    ens3: {dhcp4: false}\n  bridges:\n    br0:\n      interfaces: [ens3]\n      parameters:\n        path-cost:\n          ens3: 10\n      addresses: [10.0.0.12/24]\n      gateway4: 10.0.0.1\n',
      },
    ],
    [
      'a VLAN in networkd',
      {
        '/etc/systemd/network/a.network': '[Match]\nName=eth0\n[Network]\nVLAN=lan\n',
        '/etc/systemd/network/b.netdev': '[NetDev]\nName=lan\nKind=vlan\n[VLAN]\nId=100\n',
        '/etc/systemd/network/c.network': '[Match]\nName=lan\n[Network]\nAddress=10.0.0.11/24\nGateway=10.0.0.1\n',
      },
      {
        '/etc/systemd/network/a.network': '[Match]\nName=ens3\n[Network]\nVLAN=lan\n',
        '/etc/systemd/network/c.network': '[Match]\nName=lan\n[Network]\nAddress=10.0.0.12/24\nGateway=10.0.0.1\n',
      },
    ],
    [
      'a VLAN that is named by its card in networkd',
      {
        '/etc/systemd/network/a.network': '[Match]\nName=eth0\n[Network]\nVLAN=eth0.100\n',
        '/etc/systemd/network/b.netdev': '[NetDev]\nName=eth0.100\nKind=vlan\n[VLAN]\nId=100\n',
        '/etc/systemd/network/c.network': '[Match]\nName=eth0.100\n[Network]\nAddress=10.0.0.11/24\nGateway=10.0.0.1\n',
      },
      {
        '/etc/systemd/network/a.network': '[Match]\nName=ens3\n[Network]\nVLAN=ens3.100\n',
        '/etc/systemd/network/b.netdev': '[NetDev]\nName=ens3.100\nKind=vlan\n[VLAN]\nId=100\n',
        '/etc/systemd/network/c.network': '[Match]\nName=ens3.100\n[Network]\nAddress=10.0.0.12/24\nGateway=10.0.0.1\n',
      },
    ],
    [
      'a VLAN in NetworkManager',
      {
        '/etc/NetworkManager/system-connections/v.nmconnection':
          '[connection]\nid=v\nuuid=v\ntype=vlan\ninterface-name=eth0.100\n[vlan]\nid=100\nparent=eth0\n[ipv4]\nmethod=manual\naddress1=10.0.0.11/24,10.0.0.1\n',
      },
      {
        '/etc/NetworkManager/system-connections/v.nmconnection':
          '[connection]\nid=v\nuuid=v\ntype=vlan\ninterface-name=ens3.100\n[vlan]\nid=100\nparent=ens3\n[ipv4]\nmethod=manual\naddress1=10.0.0.12/24,10.0.0.1\n',
      },
    ],
    [
      'a bridge in ifcfg',
      {
        '/etc/sysconfig/network-scripts/ifcfg-br0':
          'DEVICE=br0\nTYPE=Bridge\nIPADDR=10.0.0.11\nPREFIX=24\nGATEWAY=10.0.0.1\n',
        '/etc/sysconfig/network-scripts/ifcfg-eth0': 'DEVICE=eth0\nBRIDGE=br0\n',
      },
      {
        '/etc/sysconfig/network-scripts/ifcfg-br0':
          'DEVICE=br0\nTYPE=Bridge\nIPADDR=10.0.0.12\nPREFIX=24\nGATEWAY=10.0.0.1\n',
        '/etc/sysconfig/network-scripts/ifcfg-eth0': 'DEVICE=ens3\nBRIDGE=br0\n',
      },
    ],
  ];

  test.each(kinds)('%s is kept, on the card of the understudy', async (_, files, after) => {
    const planned = await plannedNetwork(files, host(ens3));
    const { text, unknown } = planned;
    for (const [path, wanted] of Object.entries(after)) expect(await text(path)).toBe(wanted);
    await expectRead(files, planned, 'ens3');
    expect(unknown).toEqual([]);
  });

  test.each([
    ['a VLAN of another number', 'eth0.100', { ...eth0, name: 'eth0.200' }],
    ['a bond in place of a card', 'eth0', { ...eth0, name: 'bond0' }],
    ['a bridge in place of a VLAN', 'eth0.100', { ...eth0, name: 'br0' }],
    ['a VLAN where the network is another', 'vlan100', { ...eth0, addresses: ['10.7.0.12/24'], gateway: '10.7.0.1' }],
  ])('%s does not fit', async (_, name, understudy) => {
    const text = `iface ${name} inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n`;
    const planned = await plannedNetwork({ '/etc/network/interfaces': text }, host(understudy));
    expect(planned.unknown.filter((line) => line.startsWith('interfaces '))).toHaveLength(1);
    expect(await planned.text('/etc/network/interfaces')).toMatch(new RegExp(`^iface ${name} inet static`));
  });

  test('a VLAN on a bond, by the same name on both hosts, has the cards that it had', async () => {
    const text =
      'iface bond0.100 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\niface bond0 inet manual\n\tbond-slaves eth0 eth1\n';
    const planned = await plannedNetwork({ '/etc/network/interfaces': text }, host({ ...eth0, name: 'bond0.100' }));
    expect(planned.unknown).toEqual([]);
    expect(await planned.text('/etc/network/interfaces')).toBe(text.replace('10.0.0.11', '10.0.0.12'));
  });

  test('a bond that both hosts have keeps its cards, which nobody named', async () => {
    const text =
      'iface bond0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n\tbond-slaves eth0 eth1\n\tbond-mode 1\n';
    const planned = await plannedNetwork({ '/etc/network/interfaces': text }, host({ ...eth0, name: 'bond0' }));
    expect(planned.unknown).toEqual([]);
    expect(await planned.text('/etc/network/interfaces')).toBe(text.replace('10.0.0.11', '10.0.0.12'));
  });

  test('addresses go where addresses were: a card without one is no place for them', async () => {
    const bond =
      'iface eth0 inet manual\nauto bond0\niface bond0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n\tbond-slaves eth0\n\tbond-mode 1\n';
    const lead = {
      hostName: 'web1',
      interfaces: [
        { name: 'eth0', mac: M1, addresses: [] },
        { name: 'bond0', mac: M1, addresses: ['10.0.0.11/24'], gateway: '10.0.0.1' },
      ],
    };
    const planned = await plannedNetwork({ '/etc/network/interfaces': bond }, ONE, lead);
    expect(planned.unknown).toEqual([]);
    expect(await planned.text('/etc/network/interfaces')).toBe(bond.replace('10.0.0.11', '10.0.0.12'));
  });
});
