// Identifiers and keys that programs made once for this host, and that they or others know it by.
import { clueRule } from '../clue.ts';
import { derive, deriveId } from '../derive.ts';

const SNMP = 'Managers know an SNMP agent by its engine ID (RFC 3411), and take two of one for replayed messages.';
const SNMP_FILES = ['/var/lib/snmp/snmpd.conf', '/var/lib/net-snmp/snmpd.conf', '/var/net-snmp/snmpd.conf'];
const SNMP_USERS = /^\s*usmUser\s/m;
const KEYS = 'id_{rsa,dsa,ecdsa,ed25519,ecdsa_sk,ed25519_sk}';

export const identifiersRule = clueRule('identifiers', [
  {
    // dockerd of version 23 and later; earlier ones have a key.
    at: ['/var/lib/docker/engine-id', '/etc/docker/key.json'],
    value: 'the identifier of the engine (Docker)',
    secret: true,
    why: 'Swarms and managers know an engine by it; dockerd makes another where there is none.',
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: [
      '/etc/dropbear{,/initramfs,-initramfs}/dropbear_{rsa,dss,ecdsa,ed25519}_host_key',
      '/etc/dropbear-initramfs/dropbear_*_host_key',
    ],
    value: 'a host key (Dropbear)',
    secret: true,
    why: 'Clients cannot tell two hosts of one key apart. Only dropbearkey makes another; one for the start of the system lies in the initial file system as well, which has to be made again.',
    becomes: { action: 'unknown' },
  },
  {
    at: SNMP_FILES,
    lines: /^\s*oldEngineID\s+0x((?:[0-9a-fA-F]{2})+)/,
    unless: SNMP_USERS,
    why: SNMP,
    // What says whose the format is stays (RFC 3411, SnmpEngineID).
    becomes: {
      action: 'rewrite',
      to: (value, { understudy }) =>
        value.slice(0, 10) +
        deriveId(value, understudy)
          .repeat(2)
          .slice(0, value.length - 10),
    },
  },
  {
    at: SNMP_FILES,
    lines: /^\s*oldEngineID\s+(0x[0-9a-fA-F]+)/,
    when: SNMP_USERS,
    why: `${SNMP} The keys of its users are made from it, so that another engine ID locks them out.`,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/snmp/{snmpd.conf,snmpd.conf.d/*.conf}'],
    lines: /^\s*((?:exactE|e)ngineID\s+\S+)/,
    why: SNMP,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/modprobe.d/*.conf', '/usr/lib/modprobe.d/*.conf', '/lib/modprobe.d/*.conf'],
    lines: /^\s*options\s+nfs\b.*\bnfs4_unique_id=(\S+)/,
    why: 'NFS servers know a client by it (RFC 8881), and end the locks of the first when a second one comes.',
    becomes: {
      action: 'rewrite',
      to: (value, { understudy }) =>
        `${value.replace(/-clone-[0-9a-f]{16}$/, '')}-clone-${derive(value, understudy, 8).toString('hex')}`,
    },
  },
  {
    at: ['/etc/hostid'],
    value: 'a host id',
    why: 'ZFS and licences know a host by it (gethostid(3)); without the file it is made of the address.',
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: ['/etc/zfs/zpool.cache'],
    value: 'pools that are imported at every start (ZFS)',
    why: 'Pools note the host id of who has imported them; with another one they are not imported without force, and none is to be imported by two hosts.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/var/lib/snapd/device/private-keys-v1/*'],
    value: 'the key of the device (snapd)',
    secret: true,
    why: 'The store of snaps knows the device by its serial, and takes both for one. Updates go on; a brand store may count or refuse it.',
    becomes: { action: 'keep' },
    confidence: 'likely',
  },
  {
    at: ['/var/lib/fwupd/pki/{secret.key,client.pem}'],
    value: 'the key of the client (fwupd)',
    secret: true,
    why: 'Reports are signed with it; fwupd makes another where there is none.',
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: ['/var/lib/systemd/credential.secret'],
    value: 'the key of credentials (systemd-creds)',
    secret: true,
    why: 'What systemd-creds has encrypted on this host can be read with it only, on the clone as well.',
    becomes: { action: 'keep' },
  },
  {
    at: [
      '/etc/letsencrypt/accounts/**/private_key.json',
      '/etc/letsencrypt/accounts/*/*/*/private_key.json',
      '/root/.acme.sh/ca/**/account.key',
      '/{etc,var/lib}/dehydrated/accounts/*/account_key.pem',
      '/var/lib/caddy/.local/share/caddy/acme/*/users/*/*.key',
      '/var/lib/acme/**/account*.key',
      '/{etc,opt,srv}/traefik/{,*/}acme.json',
      '/{,root/}acme.json',
    ],
    value: 'an account (ACME)',
    secret: true,
    why: 'The authority takes both hosts for one customer, and counts what both ask for. Names are proved by the host that they lead to.',
    becomes: { action: 'keep' },
    confidence: 'likely',
  },
  {
    at: [`/root/.ssh/${KEYS}`, '/root/.ssh/*.{pem,key}', '/root/.ssh/*_{rsa,ed25519,ecdsa}'],
    value: "root's own key (SSH)",
    secret: true,
    why: 'It lets the clone in wherever root of the lead is let in, and those hosts cannot tell the two apart.',
    becomes: { action: 'unknown' },
  },
  {
    at: [`/home/*/.ssh/${KEYS}`, `/var/lib/*/.ssh/${KEYS}`],
    value: "a user's own key (SSH)",
    secret: true,
    why: 'It lets the clone in wherever that user of the lead is let in.',
    becomes: { action: 'keep' },
    confidence: 'likely',
  },
]);
