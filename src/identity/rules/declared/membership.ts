// What a host is in a realm or domain, and by what keys networks know it: Kerberos, SSSD, Samba; WireGuard and OpenVPN.
import { nameOf } from '../../tree/mod.ts';
import { type Clue, clueRule } from '../clue.ts';
import { tunnels } from './tunnels.ts';

const DOMAIN =
  'The directory has one account for it, with one password that is changed now and then: then one of two hosts is locked out.';

export const membershipRule = clueRule('membership', [
  {
    at: [
      '/etc/krb5.keytab',
      '/etc/*.keytab',
      '/etc/{apache2,httpd,nginx,postfix,dovecot,ssh}/*.keytab',
      '/var/lib/*/*.keytab',
    ],
    value: 'keys of a realm (Kerberos)',
    secret: true,
    why: 'The keys are those of services by the name of the lead; who has them can pose as it.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/sssd/sssd.conf', '/etc/sssd/conf.d/*.conf'],
    lines: /^\s*id_provider\s*=\s*(ad|ipa)\b/,
    why: DOMAIN,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/var/lib/samba/private/secrets.tdb', '/etc/samba/secrets.tdb', '/var/lib/samba/private/secrets.ldb'],
    value: 'the account of this host in a domain (Samba)',
    secret: true,
    why: DOMAIN,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/ipa/default.conf'],
    value: 'a member of a domain (FreeIPA)',
    why: DOMAIN,
    becomes: { action: 'unknown' },
  },
]);

const VPN = 'The other end knows the host by this key, and sends everything to whichever of the two spoke last.';

/** "wg0.conf" is what "wg-quick@wg0" reads. */
function instance(unit: string): (path: string) => readonly string[] {
  return (path) => [`${unit}@${nameOf(path).replace(/\.conf$/, '')}.service`];
}

/** A profile of nm-settings-keyfile(5) that NetworkManager does not activate by itself. */
function withoutAutoconnect(text: string): string {
  const lines = text.split('\n').filter((line) => !/^\s*autoconnect\s*=/.test(line));
  const at = lines.findIndex((line) => line.trim() === '[connection]');
  return [...lines.slice(0, at + 1), 'autoconnect=false', ...lines.slice(at + 1)].join('\n');
}

/** Where overlay networks keep the key of a host, and what uses it. */
const OVERLAYS = [
  ['/var/lib/tailscale/tailscaled.state', 'tailscaled.service'],
  ['/var/lib/zerotier-one/identity.secret', 'zerotier-one.service'],
  ['/var/lib/netbird/*.json', 'netbird.service'],
] as const;

export const vpnRule = clueRule('vpn', [
  {
    at: ['/etc/wireguard/*.conf'],
    lines: /^\s*PrivateKey\s*=\s*(\S+)/,
    secret: true,
    why: VPN,
    becomes: { action: 'disable', units: instance('wg-quick'), programs: ['wg', 'wg-quick'] },
  },
  {
    at: ['/{etc,usr/lib}/NetworkManager/system-connections/*'],
    lines: /^\s*type\s*=\s*(wireguard|vpn)\s*$/,
    secret: true,
    why: VPN,
    becomes: { action: 'disable', content: withoutAutoconnect },
  },
  {
    // Whether or not the other profile starts by itself: nm-settings-keyfile(5), connection.secondaries.
    at: ['/{etc,usr/lib}/NetworkManager/system-connections/*'],
    lines: /^\s*secondaries\s*=\s*([^\s;]\S*)/,
    why: `This connection starts a tunnel with it. ${VPN}`,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/{etc,usr/lib,lib}/netplan/*.yaml'],
    lines: /^(?!\s*#).*\bmode["']?\s*:\s*["']?(wireguard)\b/,
    secret: true,
    why: VPN,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/{etc,usr/lib,usr/local/lib}/systemd/network/{*.netdev,*.netdev.d/*.conf}'],
    lines: /^\s*PrivateKey(?:File)?\s*=\s*(\S+)/,
    secret: true,
    why: VPN,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/openvpn/*.conf'],
    value: 'a tunnel (OpenVPN)',
    secret: true,
    why: VPN,
    becomes: {
      action: 'disable',
      units: (path) => ['openvpn.service', ...instance('openvpn')(path)],
      programs: ['openvpn'],
    },
  },
  {
    at: ['/etc/openvpn/{client,server}/*.conf'],
    value: 'a tunnel (OpenVPN)',
    secret: true,
    why: VPN,
    becomes: {
      action: 'disable',
      units: (path) => instance(path.startsWith('/etc/openvpn/client/') ? 'openvpn-client' : 'openvpn-server')(path),
      programs: ['openvpn'],
    },
  },
  {
    at: ['/etc/ipsec.secrets', '/etc/swanctl/private/*', '/etc/swanctl/rsa/*', '/etc/swanctl/ecdsa/*'],
    value: 'keys of a tunnel (IPsec)',
    secret: true,
    why: VPN,
    becomes: {
      action: 'disable',
      units: () => ['strongswan.service', 'strongswan-starter.service', 'ipsec.service'],
      programs: ['charon', 'charon-systemd', 'pluto', 'swanctl'],
    },
  },
  ...OVERLAYS.map(
    ([at, unit]): Clue => ({
      at: [at],
      value: 'the key of this host in an overlay network',
      secret: true,
      why: VPN,
      becomes: { action: 'disable', units: () => [unit] },
    }),
  ),
  ...tunnels,
]);
