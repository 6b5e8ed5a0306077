// The name of the host where programs and protocols have it as their own: what mail is sent from, what a DHCP server is
// told to enter into DNS, what others on the network see. Only where it is the lead's name; another one was chosen.
import type { Finding, HostIdentity } from '../contract.ts';
import { fullNameOf } from '../correspondence.ts';
import { type FileTree, readText } from '../tree/mod.ts';
import type { Rule } from './contract.ts';
import { finding } from './finding.ts';
import { filesAt } from './glob.ts';
import { isEverybodys } from './hosts-file.ts';

const RULE = 'name-settings';
const WHY = {
  mail: 'Mail of the clone would be sent, and taken, in the name of the lead.',
  dhcp: 'The clone would have its address entered into DNS under the name of the lead.',
  network: 'The clone would show itself to others under the name of the lead.',
};

interface Setting {
  readonly at: readonly string[];
  /** How a line begins that has names of the host behind it. */
  readonly lines: RegExp;
  readonly why: string;
  /** Lines that begin with a blank go on with the one before: postconf(5). */
  readonly continues?: true;
}

const ANY = /^(?!\s*#)/;
const SETTINGS: readonly Setting[] = [
  { at: ['/etc/mailname', '/etc/mail/local-host-names', '/etc/courier/me'], lines: ANY, why: WHY.mail },
  {
    at: ['/etc/nullmailer/{me,helohost,defaulthost}', '/var/qmail/control/{me,locals,rcpthosts}'],
    lines: ANY,
    why: WHY.mail,
  },
  {
    at: ['/etc/postfix/main.cf'],
    lines: /^(?:myhostname|mydestination|myorigin|smtp_helo_name)\s*=/,
    continues: true,
    why: WHY.mail,
  },
  { at: ['/etc/exim4/update-exim4.conf.conf'], lines: /^dc_(?:other_hostnames|readhost)=/, why: WHY.mail },
  { at: ['/etc/{exim4,exim}/*.conf*', '/etc/exim.conf'], lines: /^\s*primary_hostname\s*=/, why: WHY.mail },
  { at: ['/etc/mail/sendmail.mc'], lines: /^\s*define\(`confDOMAIN_NAME'/, why: WHY.mail },
  { at: ['/etc/mail/sendmail.cf'], lines: /^(?:Dj|Dw|Cw)/, why: WHY.mail },
  {
    at: ['/etc/ssmtp/ssmtp.conf', '/etc/dma/dma.conf', '/etc/msmtprc'],
    lines: /^\s*(?:hostname|MAILNAME|domain)\b/i,
    why: WHY.mail,
  },
  {
    at: ['/etc/dhcp/dhclient*.conf', '/etc/dhclient*.conf'],
    lines: /^\s*(?:send|supersede)\s+(?:host-name|fqdn\.fqdn)\b/,
    why: WHY.dhcp,
  },
  { at: ['/etc/dhcpcd.conf'], lines: /^\s*hostname\s/, why: WHY.dhcp },
  { at: ['/etc/network/interfaces', '/etc/network/interfaces.d/*'], lines: /^\s*hostname\s/, why: WHY.dhcp },
  { at: ['/{etc,usr/local/lib}/systemd/network/**/*.{network,conf}'], lines: /^\s*Hostname\s*=/, why: WHY.dhcp },
  { at: ['/etc/NetworkManager/system-connections/*'], lines: /^\s*dhcp-(?:hostname|fqdn)\s*=/, why: WHY.dhcp },
  {
    at: ['/etc/sysconfig/{network-scripts,network}/ifcfg-*', '/etc/sysconfig/network/dhcp'],
    lines: /^\s*(?:DHCP_HOSTNAME|DHCP_FQDN|DHCLIENT_HOSTNAME_OPTION)=/,
    why: WHY.dhcp,
  },
  { at: ['/etc/netplan/*.yaml'], lines: /^\s*hostname:/, why: WHY.dhcp },
  {
    at: ['/etc/cloud/cloud.cfg', '/etc/cloud/cloud.cfg.d/*.cfg'],
    lines: /^\s*(?:hostname|fqdn|local-hostname):/,
    why: WHY.network,
  },
  { at: ['/etc/samba/smb.conf'], lines: /^\s*netbios\s+(?:name|aliases)\s*=/i, why: WHY.network },
  { at: ['/etc/avahi/avahi-daemon.conf'], lines: /^\s*host-name\s*=/, why: WHY.network },
  { at: ['/etc/snmp/snmpd.conf', '/etc/snmp/snmpd.conf.d/*'], lines: /^\s*sysName\s/i, why: WHY.network },
  {
    at: ['/etc/rsyslog.conf', '/etc/rsyslog.d/*.conf'],
    lines: /^\s*(?:\$LocalHostName\s|global\(.*localHostname=)/i,
    why: WHY.network,
  },
  { at: ['/etc/zabbix/zabbix_agent*.conf'], lines: /^\s*Hostname\s*=/, why: WHY.network },
  { at: ['/etc/munin/munin-node.conf'], lines: /^\s*host_name\s/, why: WHY.network },
  { at: ['/etc/collectd/collectd.conf'], lines: /^\s*Hostname\s/, why: WHY.network },
  { at: ['/etc/{telegraf/telegraf.conf,netdata/netdata.conf}'], lines: /^\s*hostname\s*=/, why: WHY.network },
  { at: ['/etc/{my.cnf,mysql/**/*.cnf,my.cnf.d/*.cnf}'], lines: /^\s*report[-_]host\s*=/, why: WHY.network },
];

export const nameSettingsRule: Rule = {
  name: RULE,
  async find(tree, { lead }) {
    if (lead === null) return [];
    const found: Finding[] = [];
    for (const setting of SETTINGS) {
      for (const { path } of (await filesAt(tree, setting.at)).files) {
        const file = await readText(tree, path);
        if (file.status !== 'text') continue;
        const lines = linesOf(file.text, setting).filter(({ isSetting, line }) => isSetting && hasName(line, lead));
        const value = lines.map(({ line }) => line.trim()).join(' | ');
        if (lines.length > 0)
          found.push(finding({ rule: RULE, path: file.path, value, why: setting.why, action: 'rewrite' }));
      }
    }
    return found;
  },
  async change(found, tree, { lead, understudy }) {
    const file = await readText(tree, found.path);
    if (file.status !== 'text') return [];
    let text = file.text;
    for (const setting of await settingsOf(tree, found.path)) text = rewritten(text, setting, lead, understudy);
    return text === file.text ? [] : [{ kind: 'write', path: found.path, text }];
  },
  async verify(tree, { lead, understudy, findings }) {
    if (fullNameOf(lead) === fullNameOf(understudy)) return [];
    const left = await nameSettingsRule.find(tree, { lead, understudy, claimed: new Set() });
    const done = new Set(
      findings.filter(({ rule, action }) => rule === RULE && action !== 'rewrite').map(({ path }) => path),
    );
    return left.filter(({ path }) => !done.has(path)).map(({ path, value }) => `${path} still has ${value}`);
  },
};

async function settingsOf(tree: FileTree, path: string): Promise<readonly Setting[]> {
  const settings: Setting[] = [];
  for (const setting of SETTINGS)
    if ((await filesAt(tree, setting.at)).files.some((one) => one.path === path)) settings.push(setting);
  return settings;
}

function linesOf(
  text: string,
  { lines, continues }: Setting,
): readonly { readonly line: string; readonly isSetting: boolean }[] {
  let goesOn = false;
  return text.split('\n').map((line) => {
    const isMore = continues === true && goesOn && /^\s+\S/.test(line);
    if (!/^\s*(?:#|$)/.test(line)) goesOn = isMore || lines.test(line);
    return { line, isSetting: goesOn && !/^\s*#/.test(line) };
  });
}

function rewritten(text: string, setting: Setting, lead: HostIdentity, understudy: HostIdentity): string {
  return linesOf(text, setting)
    .map(({ line, isSetting }) =>
      isSetting ? line.replace(namesOf(lead), (name) => inPlaceOf(name, lead, understudy)) : line,
    )
    .join('\n');
}

function hasName(line: string, lead: HostIdentity): boolean {
  return line.match(namesOf(lead)) !== null;
}

/** As words of their own: "web1" is neither in "web1.example.net" nor in "web1-old", nor is it a key. */
function namesOf(lead: HostIdentity): RegExp {
  const own = [...new Set([fullNameOf(lead), lead.hostName])].filter((name) => !isEverybodys(name));
  const names = own.map((name) => name.replace(/[^A-Za-z0-9-]/g, '\\$&')).join('|') || '(?!)';
  return new RegExp(`(?<![\\w.$-])(?:${names})(?![\\w-]|\\.\\w|\\s*=)`, 'gi');
}

/** Spelled as it was: NetBIOS has capital letters. */
function inPlaceOf(name: string, lead: HostIdentity, understudy: HostIdentity): string {
  const next = name.length > lead.hostName.length ? fullNameOf(understudy) : understudy.hostName;
  return name === name.toUpperCase() && name !== name.toLowerCase() ? next.toUpperCase() : next;
}
