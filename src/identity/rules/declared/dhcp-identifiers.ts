// Identifiers that are set by hand for a client of DHCP: a server knows the host by them, whatever card it has. Values
// that each host makes of its own card or machine-id are not among them.
import type { Clue } from '../clue.ts';

const WHY = 'It is set by hand, so that the server knows this host by it.';

function byHand(at: readonly string[], lines: RegExp): Clue {
  return { at, lines, why: WHY, becomes: { action: 'unknown' } };
}

const NETWORKD = ['/etc', '/usr/local/lib', '/usr/lib'].flatMap((root) => [
  `${root}/systemd/networkd.conf`,
  `${root}/systemd/networkd.conf.d/*.conf`,
  `${root}/systemd/network/*.network`,
  `${root}/systemd/network/*.network.d/*.conf`,
]);

export const dhcpIdentifierClues: readonly Clue[] = [
  // networkd.conf(5), systemd.network(5). Option 61 is the client identifier (RFC 2132, 9.14).
  byHand(
    NETWORKD,
    /^\s*((?:DUIDRawData|IAID)\s*=\s*\S+|ClientIdentifier\s*=\s*(?!mac|duid)\S+|SendOption\s*=\s*61:\S+)/,
  ),
  // dhclient.conf(5); "= hardware" and other expressions are made by each host.
  byHand(
    ['/etc/{dhcp,dhcp3}/dhclient*.conf', '/etc/dhclient*.conf'],
    /^(?:[^#]*[\s;{])?((?:send|supersede|default|append|prepend)\s+dhcp-client-identifier\s+(?![\s=])[^;]+|(?:send|supersede)\s+(?:host-name|fqdn\.fqdn)\s+"[^"]*"|default-duid\s+[^;]+)/,
  ),
  // dhcpcd.conf(5): without a value each host makes its own.
  byHand(
    ['/etc/dhcpcd.conf'],
    /^\s*(clientid\s+\S.*?|duid\s+(?!(?:ll|llt|uuid)\s*$)\S.*?|iaid\s+\S+|(?:hostname|fqdn)\s+(?!(?:both|ptr|none|disable)\s*$)\S+)\s*$/,
  ),
  // nm-settings-nmcli(5), NetworkManager.conf(5).
  byHand(
    [
      '/{etc,usr/lib}/NetworkManager/system-connections/*',
      '/etc/NetworkManager/NetworkManager.conf',
      '/{etc,usr/lib}/NetworkManager/conf.d/*.conf',
    ],
    /^\s*((?:ipv[46]\.)?(?:dhcp-client-id\s*=\s*(?!(?:mac|perm-mac|duid|ipv6-duid|stable|none)\s*$)\S.*|dhcp-duid\s*=\s*(?!(?:lease|llt|ll|stable-llt|stable-ll|stable-uuid)\s*$)\S.*|dhcp-iaid\s*=\s*(?!(?:mac|perm-mac|ifname|stable)\s*$)\S.*))$/,
  ),
  // sysconfig.txt of initscripts; ifcfg-dhcp(5) of SUSE.
  byHand(
    ['/etc/sysconfig/network-scripts/ifcfg-*', '/etc/sysconfig/network/{dhcp,ifcfg-*}'],
    /^\s*((?:DHCP_CLIENT_ID|DHCPV6_DUID|DHCPV6_IAID|DHCP_IAID|DHCLIENT6?_CLIENT_ID)\s*=\s*["']?[^"'\s#]+)/,
  ),
  // interfaces(5): "client" of the method dhcp; busybox's udhcpc takes option 61 as 0x3d.
  byHand(
    ['/etc/network/interfaces', '/etc/network/interfaces.d/*'],
    /^\s*(client(?:id)?\s+\S+|udhcpc_opts\s.*-x\s*(?:0x3d|61):\S+)/,
  ),
  // wicked-config(5) of SUSE.
  byHand(['/etc/wicked/{client,client-local,common}.xml'], /(<(?:default-duid|client-id|duid)>\s*[^<\s]+)/),
];
