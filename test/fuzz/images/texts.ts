// Configuration files that a guest fills to do harm: every place that the rules of identity read, and texts for its
// format.
import type { Random } from '../../../src/base/mod.ts';
import { pick } from '../api/shapes.ts';

export type Format = 'yaml' | 'json' | 'lines' | 'units' | 'ini' | 'binary';

/** Places that rules look at, by the format that they take it for. */
export const PLACES: Readonly<Record<Format, readonly string[]>> = {
  yaml: [
    '/etc/netplan/01-a.yaml',
    '/etc/cloud/cloud.cfg',
    '/etc/datadog-agent/datadog.yaml',
    '/etc/elasticsearch/elasticsearch.yml',
    '/etc/newrelic-infra.yml',
    '/etc/borgmatic/config.yaml',
    '/etc/mongod.conf',
    '/var/lib/rancher/k3s/agent/kubelet.kubeconfig',
    '/etc/kubernetes/kubelet.conf',
  ],
  json: [
    '/etc/understudy/agent.json',
    '/var/lib/docker/containers/abc/hostconfig.json',
    '/var/lib/cmk-agent/registered_connections.json',
    '/etc/ubuntu-advantage/machine-token.json',
    '/var/lib/netbird/config.json',
    '/var/lib/heartbeat/meta.json',
    '/var/lib/tailscale/tailscaled.state',
  ],
  lines: [
    '/etc/hosts',
    '/etc/hostname',
    '/etc/machine-id',
    '/etc/fstab',
    '/etc/crypttab',
    '/etc/crontab',
    '/etc/cron.d/job',
    '/etc/anacrontab',
    '/var/spool/cron/crontabs/root',
    '/etc/passwd',
    '/usr/lib/os-release',
    '/etc/network/interfaces',
    '/etc/network/interfaces.d/more',
    '/etc/sysconfig/network-scripts/ifcfg-eth0',
    '/etc/sysconfig/network/routes',
    '/etc/dhcpcd.conf',
    '/etc/dhcp/dhclient.conf',
    '/var/lib/dhcp/dhclient.leases',
    '/etc/udev/rules.d/70-net.rules',
    '/etc/ssh/sshd_config',
    '/etc/ssh/sshd_config.d/a.conf',
    '/etc/keepalived/keepalived.conf',
    '/etc/ha.d/haresources',
    '/etc/iscsi/initiatorname.iscsi',
    '/etc/default/grub',
    '/boot/grub/grub.cfg',
    '/boot/extlinux/extlinux.conf',
    '/etc/kernel/cmdline',
    '/etc/initramfs-tools/initramfs.conf',
    '/etc/redis/redis.conf',
    '/etc/zookeeper/conf/myid',
    '/etc/runlevels/default/a',
  ],
  units: [
    '/etc/systemd/system/a.service',
    '/etc/systemd/system/a.timer',
    '/usr/lib/systemd/system/b.timer',
    '/etc/systemd/network/10-a.network',
    '/etc/systemd/network/10-a.netdev',
    '/etc/systemd/network/10-a.network.d/b.conf',
    '/etc/systemd/network/10-a.link',
    '/etc/containers/systemd/web.container',
    '/etc/systemd/networkd.conf',
  ],
  ini: [
    '/etc/NetworkManager/system-connections/eth0.nmconnection',
    '/etc/mysql/my.cnf',
    '/etc/mysql/conf.d/a.cnf',
    '/etc/wireguard/wg0.conf',
    '/etc/corosync/corosync.conf',
    '/etc/sssd/sssd.conf',
    '/etc/ipa/default.conf',
    '/etc/gitlab-runner/config.toml',
    '/etc/postgresql/15/main/postgresql.conf',
    '/etc/zabbix/zabbix_agentd.conf',
    '/etc/openvpn/client/a.conf',
  ],
  binary: [
    '/etc/ssh/ssh_host_ed25519_key',
    '/etc/ssh/ssh_host_rsa_key.pub',
    '/etc/nginx/tls/a.pem',
    '/etc/letsencrypt/live/a/cert.pem',
    '/var/lib/systemd/random-seed',
    '/etc/krb5.keytab',
    '/usr/bin/sh',
    '/usr/bin/dracut',
    '/var/spool/postfix/deferred/A/ABC',
    '/var/lib/mysql/auto.cnf',
  ],
};

/** As many of them as hurt a recursive reader, and still fit into what a rule reads. */
const MANY = 20_000;

const YAML: readonly ((random: Random) => string)[] = [
  () => `${'- '.repeat(MANY)}x\n`,
  () => '['.repeat(MANY),
  () => `${'['.repeat(3000)}1${']'.repeat(3000)}\n`,
  () => '{a: '.repeat(MANY / 2),
  () => `${'? '.repeat(MANY)}x\n`,
  () => Array.from({ length: 1500 }, (_, depth) => `${' '.repeat(depth)}a:\n`).join(''),
  () => Array.from({ length: 12 }, (_, n) => `a${n}: &a${n} [${`*a${n - 1},`.repeat(n === 0 ? 0 : 12)}1]\n`).join(''),
  () =>
    `network:\n  version: 2\n  ethernets:\n    __proto__: {dhcp4: true}\n    constructor: {addresses: [{toString: 1}]}\n`,
  () => 'network: {ethernets: {eth0: {addresses: {valueOf: 1, toString: 1}, gateway4: [1], match: 7}}}\n',
  () => 'a: !!js/function "x"\nb: !!binary "%%%"\nc: !!set {a, b}\nd: !!omap [a: 1]\ne: !<tag:yaml.org,2002:x> 1\n',
  () => '<<: &a {<<: *a}\n',
  () => `a: "${'\\u0000'.repeat(2000)}"\n`,
  () => `${'---\n'.repeat(5000)}`,
  () => `%YAML 9.9\n%TAG ! tag:x,\n---\nnetwork: *missing\n`,
  () => `a: |\n${'  x\n'.repeat(9000)}`,
  () => `${'a'.repeat(60_000)}: ${'b'.repeat(60_000)}\n`,
  () => `${'"a": {'.repeat(6000)}`,
  () => `${'!a '.repeat(9000)}x`,
  () => `${'&a '.repeat(9000)}x`,
];

const JSONS: readonly ((random: Random) => string)[] = [
  () => '{"host":{"toString":1,"valueOf":1},"controller":"x","token":{"toString":1}}',
  () => '{"__proto__":{"host":"web1"},"constructor":{"prototype":{"a":1}}}',
  () => '['.repeat(MANY * 4),
  () => `${'{"a":'.repeat(MANY)}1${'}'.repeat(MANY)}`,
  () => '{"host":1e999,"controller":-0,"token":[[[]]]}',
  () => 'null',
  () => '"text"',
  () => '[1,2,3]',
  () => `{"host":"${'x'.repeat(100_000)}"}`,
  () => '{"host":"\\ud800","controller":"\\u0000","token":"\\u001b[2J"}',
  () => '{"host":"web1","host":{"a":1}}',
  () => `{${Array.from({ length: 9000 }, (_, n) => `"k${n}":${n}`).join(',')}}`,
  () => '{"NetworkMode":{"toString":null},"PortBindings":[{"HostIp":{}}],"RestartPolicy":7}',
  () => '\ufeff{}',
  () => '{"host":',
];

const LINES: readonly ((random: Random) => string)[] = [
  () => 'x'.repeat(900_000),
  () => `${' '.repeat(50_000)}\n`.repeat(4),
  () => `${'a '.repeat(30_000)}!\n`,
  () => `${'10.0.0.11 '.repeat(20_000)}\n`,
  () => '\n'.repeat(200_000),
  () => 'source /etc/network/interfaces\nsource-directory /etc/network/interfaces.d\nsource interfaces.d/*\n',
  () => 'Include /etc/ssh/sshd_config\nInclude sshd_config.d/*.conf\nHostKey /../../../../etc/shadow\n',
  () => 'include "/etc/keepalived/keepalived.conf"\ninclude *.conf\n!includedir /etc/mysql\n',
  () => `UUID=${'0'.repeat(70_000)} / ext4 defaults 0 1\n//server/x /mnt cifs credentials=/etc/shadow 0 0\n`,
  () => `/dev/sda1 ${'/a'.repeat(20_000)} ext4 ${'x,'.repeat(20_000)} 0 0\n`,
  () => 'iface eth0 inet static\n\taddress 999.999.999.999/99\n\tup rm -rf /\n'.repeat(500),
  () => 'DEVICE="$(rm -rf /)"\nIPADDR0=`id`\nHWADDR=\u001b]0;x\u0007\nIPADDR999999999999999999999=1\n',
  () => '* * * * * root \\\n'.repeat(20_000),
  () => 'PRETTY_NAME="a\nID=\'\nVERSION_ID=$(x)\nID=__proto__\n',
  () => '__proto__:x:0:0::/root:/bin/sh\nconstructor:x:1:1::/:/bin/sh\n',
  () => 'lease {\n'.repeat(30_000),
  () => `menuentry ${"'".repeat(20_000)}\nlinux /vmlinuz root=UUID=${'a'.repeat(5000)}\n`,
  () => `GRUB_CMDLINE_LINUX="${'\\'.repeat(50_001)}"\n`,
  () => `SUBSYSTEM=="net", ATTR{address}=="${'5'.repeat(20_000)}", NAME="eth0"\n`.repeat(3),
  () => 'a\u0000b\u001b[2J\u202e\r\nc\rd\u2028e\n',
];

const UNITS: readonly ((random: Random) => string)[] = [
  () => '[Unit]\nRequires=a.service\nAfter=a.service\n[Service]\nExecStart=/etc/systemd/system/a.service\n',
  () => `[${'['.repeat(50_000)}\n`,
  () => `[Timer]\nOnCalendar=${'*-'.repeat(20_000)}\nUnit=a.timer\n`,
  () => `[Match]\nName=${'*'.repeat(9000)}a\n[Network]\nAddress=${'1.'.repeat(9000)}\n`,
  () => '[Network]\nAddress=10.0.0.11/24\n'.repeat(5000),
  () => '[Service]\nExecStart=\\\n'.repeat(10_000),
  () => `[Match]\nMACAddress=${'52:54:00:00:00:11 '.repeat(4000)}\n`,
  () => '[__proto__]\ntoString=1\n[constructor]\nprototype=1\n',
  () => `[Container]\nIp=${'x'.repeat(90_000)}\nPublishPort=\n`,
];

const INI: readonly ((random: Random) => string)[] = [
  () => '[ipv4]\naddress1=10.0.0.11/24,10.0.0.1\n'.repeat(4000),
  () => `[connection]\nid=${'\\'.repeat(40_000)}\nuuid=\n`,
  () => '!include /etc/mysql/my.cnf\n!includedir /etc/mysql/conf.d\n[mysqld]\nserver-id=1\n',
  () => `[mysqld]\nserver-id = ${'1'.repeat(60_000)}\nbind-address=${'a.'.repeat(9000)}\n`,
  () => "include 'postgresql.conf'\ninclude_dir '/'\narchive_command = '%p'\n",
  () => `PrivateKey = ${'A'.repeat(70_000)}=\nAddress = ${'10.0.0.11/24,'.repeat(3000)}\n`,
  () => 'totem {\n'.repeat(20_000),
  () => '[__proto__]\ntoString=1\nvalueOf=1\n[constructor]\n',
  () => `${'['.repeat(40_000)}${']'.repeat(40_000)}\n`,
];

function binary(random: Random): Buffer {
  const length = pick([0, 1, 7, 4096, 70_000], random);
  const bytes = Buffer.from(Array.from({ length }, () => random.below(256)));
  const head = pick(
    ['', '-----BEGIN OPENSSH PRIVATE KEY-----\n', '-----BEGIN CERTIFICATE-----\n', '\x7fELF\x02\x01'],
    random,
  );
  const end = head.startsWith('-----') ? `\n${'QUJD'.repeat(random.below(9000))}\n-----END CERTIFICATE-----\n` : '';
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes, Buffer.from(end)]);
}

const TEXTS: Readonly<Record<Exclude<Format, 'binary'>, readonly ((random: Random) => string)[]>> = {
  yaml: YAML,
  json: JSONS,
  lines: LINES,
  units: UNITS,
  ini: INI,
};

/** A text of that format; now and then of another one, or bytes of no format at all. */
export function textOf(format: Format, random: Random): string | Buffer {
  const other = random.below(8) === 0 ? pick(Object.keys(PLACES) as Format[], random) : format;
  return other === 'binary' ? binary(random) : pick(TEXTS[other], random)(random);
}

/** Each text of each format once, so that a short run has them all. */
export function everyText(): readonly (readonly [Format, (random: Random) => string])[] {
  const formats = Object.entries(TEXTS) as [Format, readonly ((random: Random) => string)[]][];
  return formats.flatMap(([format, texts]) => texts.map((text) => [format, text] as const));
}
