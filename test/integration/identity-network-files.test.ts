// Networks that several files describe, and images that do not say whose they are.
import { describe, expect, test } from 'vitest';
import { eth0, expectRead, host, M1, N1, ONE, plannedNetwork } from '../support/network-plan.ts';

describe('files that a system reads as one', () => {
  const merged: readonly (readonly [string, Readonly<Record<string, string>>, Readonly<Record<string, string>>])[] = [
    [
      'netplan, a route in another file',
      {
        '/etc/netplan/01.yaml': 'network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.11/24]\n',
        '/etc/netplan/02.yaml':
          'network:\n  ethernets:\n    eth0:\n      routes:\n      - {to: default, via: 10.0.0.254}\n',
      },
      {
        '/etc/netplan/02.yaml':
          'network:\n  ethernets:\n    eth0:\n      routes:\n      - {to: default, via: 10.0.0.1}\n',
      },
    ],
    [
      'netplan, the card in another file',
      {
        '/etc/netplan/01.yaml': `network:\n  ethernets:\n    lan:\n      match: {macaddress: "${M1}"}\n`,
        '/usr/lib/netplan/02.yaml':
          'network:\n  ethernets:\n    lan:\n      addresses: [10.0.0.11/24]\n      gateway4: 10.0.0.254\n',
      },
      {
        '/etc/netplan/01.yaml': `network:\n  ethernets:\n    lan:\n      match: {macaddress: "${N1}"}\n`,
        '/usr/lib/netplan/02.yaml':
          'network:\n  ethernets:\n    lan:\n      addresses: [10.0.0.12/24]\n      gateway4: 10.0.0.1\n',
      },
    ],
    [
      'netplan, a file that hides another of its name',
      {
        '/etc/netplan/01.yaml':
          'network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.11/24]\n      gateway4: 10.0.0.1\n',
        '/usr/lib/netplan/01.yaml': 'network:\n  ethernets:\n    eth0:\n      addresses: [192.168.1.1/24]\n',
      },
      {},
    ],
    [
      'networkd, a route in a drop-in',
      {
        '/etc/systemd/network/lan.network': '[Match]\nName=eth0\n[Network]\nAddress=10.0.0.11/24\n',
        '/etc/systemd/network/lan.network.d/gw.conf': '[Network]\nGateway=10.0.0.254\n',
      },
      {
        '/etc/systemd/network/lan.network': '[Match]\nName=eth0\n[Network]\nAddress=10.0.0.12/24\n',
        '/etc/systemd/network/lan.network.d/gw.conf': '[Network]\nGateway=10.0.0.1\n',
      },
    ],
    [
      'networkd, a drop-in to a file of the system, which says the rest',
      {
        '/usr/lib/systemd/network/lan.network': '[Match]\nName=eth0\n[Route]\nGateway=10.0.0.254\n',
        '/etc/systemd/network/lan.network.d/own.conf': '[Network]\nAddress=10.0.0.11/24\n',
      },
      {
        '/usr/lib/systemd/network/lan.network': '[Match]\nName=eth0\n[Route]\nGateway=10.0.0.1\n',
        '/etc/systemd/network/lan.network.d/own.conf': '[Network]\nAddress=10.0.0.12/24\n',
      },
    ],
    [
      'SUSE, routes in a file for all',
      {
        '/etc/sysconfig/network/ifcfg-eth0': "BOOTPROTO='static'\nIPADDR='10.0.0.11/24'\n",
        '/etc/sysconfig/network/routes': '10.9.0.0/16 10.0.0.7 - -\ndefault 10.0.0.254 - -\n',
      },
      {
        '/etc/sysconfig/network/ifcfg-eth0': "BOOTPROTO='static'\nIPADDR='10.0.0.12/24'\n",
        '/etc/sysconfig/network/routes': '10.9.0.0/16 10.0.0.7 - -\ndefault 10.0.0.1 - -\n',
      },
    ],
    [
      'SUSE, routes of an interface',
      {
        '/etc/sysconfig/network/ifcfg-eth0': 'IPADDR=10.0.0.11\nPREFIXLEN=24\n',
        '/etc/sysconfig/network/ifroute-eth0': 'default 10.0.0.254 - eth0\n',
      },
      {
        '/etc/sysconfig/network/ifcfg-eth0': 'IPADDR=10.0.0.12\nPREFIXLEN=24\n',
        '/etc/sysconfig/network/ifroute-eth0': 'default 10.0.0.1 - eth0\n',
      },
    ],
    [
      'Red Hat, the gateway in the file for all',
      {
        '/etc/sysconfig/network': 'NETWORKING=yes\nGATEWAY=10.0.0.254\n',
        '/etc/sysconfig/network-scripts/ifcfg-eth0': 'DEVICE=eth0\nIPADDR=10.0.0.11\nPREFIX=24\n',
      },
      {
        '/etc/sysconfig/network': 'NETWORKING=yes\nGATEWAY=10.0.0.1\n',
        '/etc/sysconfig/network-scripts/ifcfg-eth0': 'DEVICE=eth0\nIPADDR=10.0.0.12\nPREFIX=24\n',
      },
    ],
    [
      'Red Hat, routes of an interface in both spellings',
      {
        '/etc/sysconfig/network-scripts/ifcfg-eth0': 'DEVICE=eth0\nIPADDR=10.0.0.11\nPREFIX=24\n',
        '/etc/sysconfig/network-scripts/route-eth0':
          'ADDRESS0=0.0.0.0\nNETMASK0=0.0.0.0\nGATEWAY0=10.0.0.254\nADDRESS1=10.9.0.0\nNETMASK1=255.255.0.0\nGATEWAY1=10.0.0.7\n',
      },
      {
        '/etc/sysconfig/network-scripts/ifcfg-eth0': 'DEVICE=eth0\nIPADDR=10.0.0.12\nPREFIX=24\n',
        '/etc/sysconfig/network-scripts/route-eth0':
          'ADDRESS0=0.0.0.0\nNETMASK0=0.0.0.0\nGATEWAY0=10.0.0.1\nADDRESS1=10.9.0.0\nNETMASK1=255.255.0.0\nGATEWAY1=10.0.0.7\n',
      },
    ],
    [
      'ifupdown, a gateway in another file, and one by a command',
      {
        '/etc/network/interfaces': 'source-directory more\niface eth0 inet static\n\taddress 10.0.0.11/24\n',
        '/etc/network/more/gw': 'iface eth0 inet manual\n\tup ip route add default via 10.0.0.254 dev eth0\n',
      },
      {
        '/etc/network/interfaces': 'source-directory more\niface eth0 inet static\n\taddress 10.0.0.12/24\n',
        '/etc/network/more/gw': 'iface eth0 inet manual\n\tup ip route add default via 10.0.0.1 dev eth0\n',
      },
    ],
    [
      'ifupdown, one route for two addresses',
      {
        '/etc/network/interfaces':
          'iface eth0 inet static\n\taddress 10.0.0.11/24\niface eth0 inet static\n\taddress 10.0.0.99/24\n',
      },
      {
        '/etc/network/interfaces':
          'iface eth0 inet static\n\taddress 10.0.0.12/24\n    gateway 10.0.0.1\niface eth0 inet static\n\taddress 10.0.0.99/24\n',
      },
    ],
    [
      'NetworkManager, a route that is the way out',
      {
        '/etc/NetworkManager/system-connections/a':
          '[connection]\nid=a\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=10.0.0.11/24\nroute1=0.0.0.0/0,10.0.0.254\n',
      },
      {
        '/etc/NetworkManager/system-connections/a':
          '[connection]\nid=a\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=10.0.0.12/24\nroute1=0.0.0.0/0,10.0.0.1\n',
      },
    ],
  ];

  test.each([
    [
      'netplan',
      { '/etc/netplan/a.yaml': 'network:\n  ethernets:\n    eth0: {dhcp4: true, addresses: [10.0.0.11/24]}\n' },
    ],
    [
      'networkd',
      { '/etc/systemd/network/a.network': '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nAddress=10.0.0.11/24\n' },
    ],
    [
      'NetworkManager',
      {
        '/etc/NetworkManager/system-connections/a':
          '[connection]\nid=a\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=auto\naddress1=10.0.0.11/24\n',
      },
    ],
  ])('%s - a server that gives a second address gives the way out', async (_, files) => {
    const planned = await plannedNetwork(files, ONE);
    expect(planned.unknown).toEqual([]);
    const [path = '', before = ''] = Object.entries(files)[0] ?? [];
    expect(await planned.text(path)).toBe(before.replace('10.0.0.11', '10.0.0.12'));
  });

  test('SUSE - several addresses with their prefixes, and routes as they were once written', async () => {
    const wide = host({ ...eth0, addresses: ['10.7.0.12/16', '10.8.0.12/20'], gateway: '10.7.0.1' });
    const path = '/etc/sysconfig/network/ifcfg-eth0';
    const files = {
      [path]:
        "IPADDR='10.0.0.11'\nPREFIXLEN='24'\nBROADCAST='10.0.0.255'\nIPADDR_1='10.1.0.11'\nNETMASK_1='255.255.255.0'\nBROADCAST_1='10.1.0.255'\n",
      '/etc/sysconfig/network/routes': '10.9.0.0 10.0.0.7 255.255.0.0 eth0\n0.0.0.0 10.0.0.1 0.0.0.0 eth0\n',
    };
    const { text, unknown } = await plannedNetwork(files, wide);
    expect(unknown).toEqual([]);
    expect(await text(path)).toBe(
      "IPADDR='10.7.0.12'\nPREFIXLEN='16'\nIPADDR_1='10.8.0.12'\nNETMASK_1='255.255.240.0'\n",
    );
    expect(await text('/etc/sysconfig/network/routes')).toBe(
      '10.9.0.0 10.0.0.7 255.255.0.0 eth0\n0.0.0.0 10.7.0.1 0.0.0.0 eth0\n',
    );
  });

  test.each(merged)('%s', async (name, files, after) => {
    const lead = name.includes('two addresses')
      ? { hostName: 'web1', interfaces: [{ name: 'eth0', mac: M1, addresses: ['10.0.0.11/24', '10.0.0.99/24'] }] }
      : undefined;
    const understudy = lead === undefined ? ONE : host({ ...eth0, addresses: ['10.0.0.12/24', '10.0.0.99/24'] });
    const planned = await plannedNetwork(files, understudy, lead);
    const { text, unknown } = planned;
    for (const [path, wanted] of Object.entries(after)) expect(await text(path)).toBe(wanted);
    if (lead === undefined) await expectRead(files, planned);
    expect(unknown).toEqual([]);
  });
});

describe('whom an image does not name', () => {
  test('dhcpcd: addresses and routes without a server', async () => {
    const path = '/etc/dhcpcd.conf';
    const before =
      'hostname\nduid\n\ninterface eth0\nstatic ip_address=10.0.0.11/24\nstatic routers=10.0.0.254\nstatic domain_name_servers=10.0.0.2\n';
    const { text, unknown, lead } = await plannedNetwork({ [path]: before }, host({ ...eth0, name: 'ens3' }));
    expect(lead.interfaces).toEqual([{ name: 'eth0', mac: '', addresses: ['10.0.0.11/24'] }]);
    expect(unknown).toEqual([]);
    expect(await text(path)).toBe(
      before
        .replace('10.0.0.11', '10.0.0.12')
        .replace('10.0.0.254', '10.0.0.1')
        .replace('interface eth0', 'interface ens3'),
    );
  });

  test.each([
    ['source net.d/*', '/etc/network/net.d/lan.cfg'],
    ['source /srv/net/[a-m]*', '/srv/net/lan'],
    ['source-directory /srv/net', '/srv/net/lan'],
    ['source /srv/*/lan /srv/none/*', '/srv/net/lan'],
  ])('ifupdown: %s is read as ifup reads it', async (line, path) => {
    const lan = 'iface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n';
    const files = { '/etc/network/interfaces': `${line}\n`, [path]: lan };
    const planned = await plannedNetwork(files, ONE);
    const { text, unknown } = planned;
    expect(unknown).toEqual([]);
    await expectRead(files, planned);
    expect(await text(path)).toBe(lan.replace('10.0.0.11', '10.0.0.12'));
  });

  test('ifupdown: more files than are looked into are said to be', async () => {
    const many = Array.from({ length: 5000 }, (_, index) => `source /etc/network/*/*/${index}*\n`).join('');
    const lan = 'iface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n';
    const { unknown } = await plannedNetwork({ '/etc/network/interfaces': many + lan }, ONE);
    expect(unknown).toEqual(['ifupdown /etc/network/interfaces more than 200 files are included']);
  });

  test('ifupdown: a pattern means no name that begins with a dot', async () => {
    const old = 'iface eth0 inet static\n\taddress 10.0.0.77/24\n';
    const files = {
      '/etc/network/interfaces': 'source net.d/*\n',
      '/etc/network/net.d/lan': 'iface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n',
      '/etc/network/net.d/.lan.swp': old,
    };
    const planned = await plannedNetwork(files, ONE);
    expect(planned.lead.interfaces.flatMap(({ addresses }) => addresses)).toEqual(['10.0.0.11/24']);
    expect(planned.unknown).toEqual([]);
    await expectRead(files, planned);
  });

  test('ifupdown: what only a shell can expand is said', async () => {
    const { unknown } = await plannedNetwork(
      {
        '/etc/network/interfaces':
          'source $HOME/lan\niface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n',
      },
      ONE,
    );
    expect(unknown).toEqual(['ifupdown /etc/network/interfaces source $HOME/lan, which only a shell can expand']);
  });

  test.each([
    ['ifupdown', { '/etc/network/interfaces': 'auto eth0\niface eth0 inet dhcp\n' }],
    ['netplan', { '/etc/netplan/a.yaml': 'network:\n  ethernets:\n    eth0: {dhcp4: true}\n' }],
    ['networkd', { '/etc/systemd/network/a.network': '[Match]\nName=eth0\n[Network]\nDHCP=yes\n' }],
    ['ifcfg', { '/etc/sysconfig/network/ifcfg-eth0': "BOOTPROTO='dhcp'\n" }],
  ])('%s by DHCP only: the report says that addresses were not looked for', async (_, files) => {
    const { findings, lead } = await plannedNetwork(files, ONE);
    expect(lead.interfaces).toEqual([{ name: 'eth0', mac: '', addresses: [] }]);
    expect(findings).toContain('keep addresses /etc eth0');
    expect(findings).toContain('unknown addresses /etc 10.0.0.12/24');
  });
});
