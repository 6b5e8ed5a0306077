// What DHCP clients remember of a host: leases, and the identifiers by which servers know it (RFC 8415, 11: DUID).
import { clueRule } from '../clue.ts';
import { dhcpIdentifierClues } from './dhcp-identifiers.ts';

const WHY = 'A server that is shown the lease or the identifier of the lead gives its address to the clone as well.';

export const dhcpRule = clueRule('dhcp', [
  {
    // The leases of ISC's server lie beside those of its client; each of a server's says for which address it is.
    at: ['/var/lib/dhcp/*.leases'],
    lines: /^\s*(lease6?\s*\{|default-duid\s)/,
    why: WHY,
    value: 'leases',
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: [
      '/var/lib/dhclient/*.{leases,lease}',
      '/var/lib/NetworkManager/*.lease',
      '/var/lib/{dhcpcd,dhcpcd5}/*.{lease,lease6}',
      '/var/lib/connman/*/*.leases',
    ],
    why: WHY,
    value: 'leases',
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: [
      '/etc/dhcpcd.duid',
      '/var/lib/{dhcpcd,dhcpcd5}/duid',
      '/etc/dhcpcd.secret',
      '/var/lib/{dhcpcd,dhcpcd5}/secret',
    ],
    why: 'The DUID is what DHCPv6 servers know a host by; each host makes its own.',
    value: 'an identifier',
    secret: true,
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: ['/var/lib/NetworkManager/secret_key'],
    secret: true,
    why: 'NetworkManager makes DUIDs, client identifiers and stable addresses from it, and a new one when there is none.',
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: ['/var/lib/wicked/{duid,iaid}.xml', '/var/lib/wicked/lease-*.xml', '/var/lib/dhcpv6/dhcp6c_duid'],
    value: 'leases and identifiers',
    why: WHY,
    becomes: { action: 'regenerate', by: 'removal' },
  },
  ...dhcpIdentifierClues,
]);
