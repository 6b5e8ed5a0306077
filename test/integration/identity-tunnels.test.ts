// Keys of tunnels, and identifiers that are set by hand for clients of DHCP, wherever a network is configured.
import { describe, expect, test } from 'vitest';
import { ONE, plannedNetwork } from '../support/network-plan.ts';

describe('tunnels', () => {
  const WG = `[connection]\nid=wg0\nuuid=w\ntype=wireguard\ninterface-name=wg0\n[wireguard]\nprivate-key=c2VjcmV0LW9mLXdlYjE=\n[ipv4]\nmethod=manual\naddress1=10.8.0.2/24\n`;
  const lan = { '/etc/network/interfaces': 'iface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n' };

  test.each([
    ['WireGuard', WG],
    ['OpenVPN', WG.replace('type=wireguard', 'type=vpn\nautoconnect=true')],
  ])('%s of NetworkManager does not start by itself, and keeps what it is', async (_, before) => {
    const path = '/etc/NetworkManager/system-connections/wg0.nmconnection';
    const { text, unknown, findings, shown, lead } = await plannedNetwork({ ...lan, [path]: before }, ONE);
    expect(lead.interfaces.map(({ name }) => name)).toEqual(['eth0']);
    expect(unknown).toEqual([]);
    expect(findings).toContain(`disable vpn ${path} (secret)`);
    expect(shown).not.toContain('c2VjcmV0LW9mLXdlYjE');
    const plain = before.replace('autoconnect=true\n', '');
    expect(await text(path)).toBe(plain.replace('[connection]\n', '[connection]\nautoconnect=false\n'));
  });

  test.each([
    [
      'block',
      'network:\n  tunnels:\n    wg0:\n      mode: wireguard\n      key: c2VjcmV0LW9mLXdlYjE=\n      addresses: [10.8.0.2/24]\n',
    ],
    [
      'flow',
      'network: {tunnels: {wg0: {mode: "wireguard", keys: {private: c2VjcmV0LW9mLXdlYjE=}, addresses: [10.8.0.2/24]}}}\n',
    ],
  ])('WireGuard of netplan, in %s style', async (_, before) => {
    const path = '/etc/netplan/wg.yaml';
    const { text, unknown, shown, lead } = await plannedNetwork({ ...lan, [path]: before }, ONE);
    expect(lead.interfaces.map(({ name }) => name)).toEqual(['eth0']);
    expect(unknown).toEqual([`vpn ${path} (secret)`]);
    expect(shown).not.toContain('c2VjcmV0LW9mLXdlYjE');
    expect(await text(path)).toBe(before);
  });

  test('a tunnel that another connection of NetworkManager starts', async () => {
    const path = '/etc/NetworkManager/system-connections/lan';
    const { unknown } = await plannedNetwork({ ...lan, [path]: '[connection]\ntype=ethernet\nsecondaries=w;\n' }, ONE);
    expect(unknown).toEqual([`vpn ${path} w;`]);
  });

  test('WireGuard of networkd, with the key in a drop-in', async () => {
    const { unknown } = await plannedNetwork(
      {
        ...lan,
        '/etc/systemd/network/wg0.netdev': '[NetDev]\nName=wg0\nKind=wireguard\n',
        '/etc/systemd/network/wg0.netdev.d/key.conf': '[WireGuard]\nPrivateKeyFile=/etc/wg.key\n',
      },
      ONE,
    );
    expect(unknown).toEqual(['vpn /etc/systemd/network/wg0.netdev.d/key.conf (secret)']);
  });

  test("addresses of a tunnel of networkd are not the host's", async () => {
    const { lead, unknown, text } = await plannedNetwork(
      {
        ...lan,
        '/etc/systemd/network/vpn.netdev': '[NetDev]\nName=office\nKind=wireguard\n[WireGuard]\nPrivateKey=x\n',
        '/etc/systemd/network/vpn.network': '[Match]\nName=office\n[Network]\nAddress=10.8.0.2/24\n',
      },
      ONE,
    );
    expect(lead.interfaces.map(({ name }) => name)).toEqual(['eth0']);
    expect(unknown).toContain('networkd /etc/systemd/network/vpn.network 10.8.0.2/24');
    expect(await text('/etc/systemd/network/vpn.network')).toContain('10.8.0.2/24');
  });

  test("a tunnel's own end is the understudy's", async () => {
    const path = '/etc/netplan/t.yaml';
    const before =
      'network:\n  ethernets: {eth0: {addresses: [10.0.0.11/24], gateway4: 10.0.0.1}}\n  tunnels:\n    t0: {mode: sit, local: 10.0.0.11, remote: 10.9.0.1}\n';
    const { text, unknown } = await plannedNetwork({ [path]: before }, ONE);
    expect(unknown).toEqual([]);
    expect(await text(path)).toBe(before.replaceAll('10.0.0.11', '10.0.0.12'));
  });
});

describe('identifiers of clients of DHCP', () => {
  const lan = {
    '/etc/network/interfaces.d/lan': 'iface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n',
  };
  test.each([
    ['/etc/NetworkManager/system-connections/a', '[ipv4]\ndhcp-client-id=01:52:54\n'],
    ['/etc/NetworkManager/system-connections/a', '[ipv6]\ndhcp-duid=00:04:11\n'],
    ['/etc/NetworkManager/conf.d/a.conf', '[connection]\nipv4.dhcp-client-id=web1\n'],
    ['/etc/systemd/networkd.conf', '[DHCPv4]\nDUIDType=vendor\nDUIDRawData=00:00:ab\n'],
    ['/etc/systemd/network/a.network.d/b.conf', '[DHCPv6]\nDUIDRawData=00:00:ab\n'],
    ['/etc/systemd/network/a.network', '[Match]\nName=eth9\n[DHCPv4]\nSendOption=61:string:web1\n'],
    ['/etc/dhcp/dhclient.conf', 'interface "eth0" { send dhcp-client-identifier "web1"; }\n'],
    ['/etc/dhcp/dhclient-eth0.conf', 'send dhcp-client-identifier 1:52:54;\n'],
    ['/etc/dhclient.conf', 'default-duid "00:01";\n'],
    ['/etc/dhcpcd.conf', 'clientid web1\n'],
    ['/etc/dhcpcd.conf', 'interface eth0\n  iaid 11\n'],
    ['/etc/sysconfig/network-scripts/ifcfg-eth1', 'DEVICE=eth1\nBOOTPROTO=dhcp\nDHCP_CLIENT_ID=web1\n'],
    ['/etc/sysconfig/network/dhcp', 'DHCLIENT_CLIENT_ID="web1"\n'],
    ['/etc/network/interfaces', 'iface eth1 inet dhcp\n\tclient web1\n'],
    ['/etc/wicked/client.xml', '<config>\n <default-duid>00:01</default-duid>\n</config>\n'],
  ])('%s: %s is for people to decide', async (path, content) => {
    const { unknown } = await plannedNetwork({ ...lan, [path]: content }, ONE);
    expect(unknown.filter((line) => line.startsWith(`dhcp ${path} `))).toHaveLength(1);
  });

  test.each([
    ['/etc/NetworkManager/system-connections/a', '[ipv4]\ndhcp-client-id=mac\n[ipv6]\ndhcp-duid=stable-uuid\n'],
    [
      '/etc/dhcp/dhclient.conf',
      '#send dhcp-client-identifier 1:0:a0;\nsend dhcp-client-identifier = hardware;\nsend host-name = gethostname();\n',
    ],
    ['/etc/dhcpcd.conf', 'hostname\nclientid\nduid\npersistent\n'],
    ['/etc/sysconfig/network/dhcp', 'DHCLIENT_CLIENT_ID=""\nDHCLIENT6_CLIENT_ID=""\n'],
  ])('%s: what every host makes for itself is not', async (path, content) => {
    const { findings } = await plannedNetwork({ ...lan, [path]: content }, ONE);
    expect(findings.filter((line) => line.includes(' dhcp '))).toEqual([]);
  });

  test('the identifiers that SUSE and the client of WIDE keep are made anew', async () => {
    const paths = [
      '/var/lib/wicked/duid.xml',
      '/var/lib/wicked/lease-eth0-dhcp-ipv4.xml',
      '/var/lib/dhcpv6/dhcp6c_duid',
    ];
    const { text } = await plannedNetwork({ ...lan, ...Object.fromEntries(paths.map((path) => [path, 'x'])) }, ONE);
    for (const path of paths) expect(await text(path)).toBeNull();
  });
});
