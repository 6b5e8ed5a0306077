// Servers that answer, announce or decide for a whole network, so that a second one does harm to everybody in it: DHCP
// (dhcpd.conf(5), Kea's manual, dnsmasq(8), udhcpd, systemd.network(5)), router advertisements (radvd.conf(5)), TFTP,
// primary DNS servers (named.conf(5), nsd.conf(5), knot.conf(5)), time (ntp.conf(5), chrony.conf(5)), printers
// (printers.conf(5)), names by multicast (avahi-daemon.conf(5)), Windows networks (smb.conf(5)), routing protocols.
// Package and unit names are those of Debian 11 to 13, RHEL 6 to 9 and SUSE 12 to 15.
//
// What such a server remembers stays: the leases of a DHCP server are its data, as the tables of a database are.

import type { Finding } from '../../contract.ts';
import { type FileTree, join } from '../../tree/mod.ts';
import { type Clue, clueRule, NOTHING_STARTS } from '../clue.ts';
import type { Rule } from '../contract.ts';
import { filesAt } from '../glob.ts';

const RULE = 'network-servers';

const DHCP =
  'A second DHCP server in the network, which knows nothing of the leases of the first, gives away addresses twice.';
const ROUTER = 'A second host would announce itself as a router, and take the traffic of the network to itself.';
const TFTP =
  'Machines that start over the network take their programs from it; which of two servers is used is chance.';
const DNS =
  'It is the primary server of zones and notifies the others: two primaries of one zone soon say different things.';
const TIME = 'It sends the time to the whole network; hosts that hear two of them follow one, then the other.';
const PRINT =
  'It shares printers: every client in the network would see them twice, and the same queue has two servers.';
const NAMES = 'It announces this name to the network, where it may be announced once; the other host is given another.';
const ROUTING = 'Routers know each other by this identifier or by their sessions; two of one break both.';
const TARGET =
  'Initiators know the target by its name and serial number, and take two of one for two paths to one disk.';

/** Debian calls the first, Red Hat and SUSE the others. */
const DHCP_UNITS = ['isc-dhcp-server.service', 'isc-dhcp-server6.service', 'dhcpd.service', 'dhcpd6.service'];
/** Debian, the packages of ISC, Red Hat. */
const KEA_UNITS = ['dhcp4', 'dhcp6'].flatMap((name) => [
  `kea-${name}-server.service`,
  `isc-kea-${name}-server.service`,
  `kea-${name}.service`,
]);

function disabled(at: readonly string[], why: string, units: readonly string[], more: Partial<Clue> = {}): Clue {
  return { at, why, becomes: { action: 'disable', units: () => units }, ...more };
}

function asked(at: readonly string[], why: string, lines: RegExp, more: Partial<Clue> = {}): Clue {
  return { at, why, lines, becomes: { action: 'unknown' }, confidence: 'likely', ...more };
}

const NAMED = [
  '/etc/bind/named.conf{,.local,.options}',
  '/etc/bind/**/*.{conf,zones,local}',
  '/etc/named.conf',
  '/etc/named/**/*',
];
/** What the packages themselves serve: names of the loopback interface. */
const DEFAULT_ZONE = /default-zones$|rfc19(12|18)/;

const clues: readonly Clue[] = [
  disabled(['/etc/dhcp/**/*.conf', '/etc/dhcpd{,6}.conf', '/etc/dhcpd.conf.d/*'], DHCP, DHCP_UNITS, {
    except: /dhclient/,
    lines: /^\s*(subnet6?\s+\S+|shared-network\s+\S+|range6?\s+[^;]+)/,
  }),
  disabled(['/etc/kea/kea-dhcp{4,6}.conf'], DHCP, KEA_UNITS, {
    lines: /^(?!\s*(?:\/\/|#)).*"(subnet[46]|shared-networks)"\s*:/,
    value: 'a DHCP server (Kea)',
  }),
  disabled(['/etc/dnsmasq.conf', '/etc/dnsmasq.d/**/*'], DHCP, ['dnsmasq.service'], {
    lines: /^\s*(dhcp-range\s*=.*)/,
  }),
  disabled(['/etc/dnsmasq.conf', '/etc/dnsmasq.d/**/*'], TFTP, ['dnsmasq.service'], {
    lines: /^\s*(enable-tftp\b.*|tftp-root\s*=.*)/,
  }),
  disabled(['/etc/udhcpd.conf'], DHCP, ['udhcpd.service'], { lines: /^\s*(start\s+\S+|interface\s+\S+)/ }),
  asked(['/etc/systemd/network/**/*.{network,conf}'], DHCP, /^\s*(DHCPServer\s*=\s*(?:yes|true|on|1)\b)/i),
  asked(
    ['/etc/systemd/network/**/*.{network,conf}'],
    ROUTER,
    /^\s*(IPv6SendRA\s*=\s*(?:yes|true|on|1)\b|DHCPPrefixDelegation\s*=\s*(?:yes|true)\b)/i,
  ),
  asked(['/etc/NetworkManager/system-connections/*'], DHCP, /^\s*(method\s*=\s*shared)\s*$/),
  disabled(['/etc/radvd.conf'], ROUTER, ['radvd.service'], { lines: /^\s*(interface\s+\S+)/ }),
  disabled(['/etc/default/tftpd-hpa'], TFTP, ['tftpd-hpa.service'], { lines: /^\s*(TFTP_DIRECTORY\s*=\s*\S+)/ }),
  disabled(['/etc/default/atftpd'], TFTP, ['atftpd.service', 'atftpd.socket'], {
    lines: /^\s*((?:OPTIONS|USE_INETD)\s*=.*)/,
  }),
  disabled(
    ['/usr/lib/systemd/system/tftp.socket', '/lib/systemd/system/tftp.socket', '/etc/systemd/system/tftp.socket'],
    TFTP,
    ['tftp.socket', 'tftp.service'],
    {
      value: 'a TFTP server',
    },
  ),
  asked(['/etc/inetd.conf'], TFTP, /^\s*(tftp\s+dgram\s.*)/),
  asked(['/etc/xinetd.d/*tftp*'], TFTP, /^\s*(disable\s*=\s*no)\b/),
  asked(NAMED, DNS, /^(?!\s*(?:\/\/|#|\*)).*?\btype\s+(master|primary)\s*;/, {
    except: DEFAULT_ZONE,
    value: 'a primary DNS server (BIND)',
  }),
  asked(['/etc/nsd/**/*.conf', '/etc/knot/*.conf'], DNS, /^\s*-?\s*(notify\s*:\s*\S.*)/),
  asked(['/etc/{powerdns,pdns}/**/*.conf'], DNS, /^\s*((?:master|primary)\s*=\s*yes)/),
  asked(
    ['/etc/ntp.conf', '/etc/{ntp,ntpsec}/*.conf'],
    TIME,
    /^\s*((?:broadcast|manycastserver|multicastserver)\s+\S+)/,
  ),
  asked(['/etc/chrony.conf', '/etc/chrony/**/*.conf'], TIME, /^\s*(broadcast\s+\d+\s+\S+)/),
  asked(['/etc/cups/printers.conf'], PRINT, /^\s*(Shared\s+Yes)\s*$/i, { value: 'a shared printer' }),
  asked(['/etc/avahi/avahi-daemon.conf'], NAMES, /^\s*(host-name\s*=\s*\S+)/),
  asked(['/etc/avahi/hosts'], NAMES, /^\s*([0-9a-fA-F:.]+\s+\S+)/),
  asked(['/etc/avahi/services/*.service'], NAMES, /<name(?![^>]*replace-wildcards\s*=\s*"yes")[^>]*>([^<]+)</),
  asked(
    ['/etc/samba/smb.conf'],
    NAMES,
    /^\s*((?:wins support|domain master|domain logons|preferred master)\s*=\s*(?:yes|true|1)|server role\s*=\s*(?:active directory|classic primary|classic backup).*)/i,
  ),
  asked(
    ['/etc/frr/*.conf', '/etc/quagga/*.conf', '/etc/bird{,6}.conf', '/etc/bird/**/*.conf'],
    ROUTING,
    /^\s*(router[ -]id\s+[^;]+|router\s+(?:ospf6?|bgp|isis|rip|eigrp|babel)\b.*|(?:bgp|ospf)\s+router-id\s+\S+|protocol\s+(?:bgp|ospf|rip|babel)\b[^{]*)/,
  ),
  asked(
    ['/etc/target/saveconfig.json', '/etc/rtslib-fb-target/saveconfig.json'],
    TARGET,
    /"(wwn)"\s*:\s*"(?:iqn|naa|eui)\./,
    {
      value: 'a target of iSCSI or Fibre Channel',
    },
  ),
  asked(['/etc/tgt/targets.conf', '/etc/tgt/conf.d/*.conf'], TARGET, /^\s*<target\s+(\S+)>/),
];

const BY_RUN_LEVEL = 'A link of a run level starts it.';
const HAS_SERVED = 'It has given leases, and what starts it was not found.';
const LEASES = {
  dhcpd: ['/var/lib/dhcp/dhcpd*.leases', '/var/lib/dhcp/db/dhcpd*.leases', '/var/lib/dhcpd/dhcpd*.leases'],
  kea: ['/var/lib/kea/*leases*', '/var/kea/*leases*'],
  dnsmasq: ['/var/lib/misc/dnsmasq.leases', '/var/lib/dnsmasq/dnsmasq*.leases'],
} as const;

const rule = clueRule(RULE, clues);

/**
 * "Nothing starts it" is not to be said of a server that was at work: one that a link of a run level starts (Debian's
 * ISC DHCP server has no other), or one that has given leases. Somebody has to decide then.
 */
export const networkServersRule: Rule = {
  ...rule,
  async find(tree, context) {
    const found: Finding[] = [];
    let names: readonly string[] | null = null;
    for (const one of await rule.find(tree, context)) {
      if (one.action === 'keep') names ??= await runLevelNames(tree);
      const isLinked = one.action === 'keep' && namesOf(one.path).some((name) => names?.includes(name));
      const hasServed = one.action === 'keep' && (await hasLeases(tree, one.path));
      const why = one.why.replace(NOTHING_STARTS, isLinked ? BY_RUN_LEVEL : HAS_SERVED);
      found.push(isLinked || hasServed ? { ...one, action: 'unknown', why } : one);
    }
    return found;
  },
};

async function hasLeases(tree: FileTree, path: string): Promise<boolean> {
  const server = path.includes('kea')
    ? 'kea'
    : path.includes('dnsmasq')
      ? 'dnsmasq'
      : path.includes('/dhcp')
        ? 'dhcpd'
        : null;
  if (server === null) return false;
  const { files } = await filesAt(tree, LEASES[server]);
  return files.some(({ sizeBytes }) => sizeBytes > 0);
}

/** What init scripts are called whose configuration this is. */
function namesOf(path: string): readonly string[] {
  if (path.includes('/dhcp')) return ['isc-dhcp-server', 'dhcpd', 'dhcpd6', 'dhcp3-server', 'udhcpd'];
  const services = ['dnsmasq', 'tftpd-hpa', 'atftpd', 'radvd', 'kea-dhcp4-server', 'kea-dhcp6-server'];
  return services.filter((name) => path.includes(name.replace('-server', '')));
}

async function runLevelNames(tree: FileTree): Promise<readonly string[]> {
  const names: string[] = [];
  for (const level of [2, 3, 4, 5]) {
    for (const folder of [`/etc/rc${level}.d`, `/etc/rc.d/rc${level}.d`, `/etc/init.d/rc${level}.d`]) {
      for (const name of await tree.list(folder)) {
        const started = /^S\d\d(.+)$/.exec(name)?.[1];
        if (started !== undefined && (await tree.stat(join(folder, name))) !== null) names.push(started);
      }
    }
  }
  return names;
}
