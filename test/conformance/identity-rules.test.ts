// Every rule that comes with the program, against the contract of rules.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { builtinRules, type Rule } from '../../src/identity/mod.ts';
import { deriveId } from '../../src/identity/rules/derive.ts';
import type { Makers } from '../../src/identity/rules/mod.ts';
import { fileTree } from '../../src/identity/tree/mod.ts';
import { run } from '../support/disk-image.ts';
import { memoryTree } from '../support/memory-tree.ts';
import { type ServiceCase, serviceCases } from '../support/pet-services.ts';
import { LEAD, MACHINE_ID, SPARE, sshKeyFiles, writeTree } from '../support/system-image.ts';
import { describeRule, type RuleCase } from './identity-rule.ts';

function keyPair(): { privateKey: string; publicKey: string } {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-rule-keys-'));
  try {
    writeTree(join(folder, 'tree'), sshKeyFiles(folder, ['ed25519']));
    const read = (name: string): string => readFileSync(join(folder, 'tree/etc/ssh', name), 'utf8');
    return { privateKey: read('ssh_host_ed25519_key'), publicKey: read('ssh_host_ed25519_key.pub') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Made out to the lead, as ssl-cert(8) of Debian does it. */
function certificate(): string {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  return run('openssl', ['req', '-x509', ...curve, '-nodes', '-keyout', '/dev/null', '-subj', '/CN=web1.example.org']);
}

const [old, made] = [keyPair(), keyPair()];
const fresh = { ...made, publicKey: made.publicKey.replace('web1', 'spare1') };
/** Real keys; one is enough, since the engine's own tests have ssh-keygen make each anew. */
const makers: Makers = { foresee: () => {}, sshHostKey: async () => fresh };

const HOSTS =
  '127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.org\tweb1\n  10.0.0.11  web1.example.org web1 wiki # ours\n10.0.0.110\tweb11\n::1 localhost\n';
const INTERFACES = 'auto eth0\niface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n';
const NETWORK = '[Match]\nMACAddress=52:54:00:00:00:11\n\n[Network]\nAddress=10.0.0.11/24\nGateway=10.0.0.1\n';

const NETPLAN = `# written by the installer
network:
  version: 2
  ethernets:
    eth0:
      match: {macaddress: "52:54:00:00:00:11"}
      set-name: eth0
      addresses: ["10.0.0.11/24"]   # the site's
      routes:
      - to: default
        via: 10.0.0.1
      nameservers: {addresses: [10.0.0.2]}
`;
const KEYFILE =
  '[connection]\nid=Wired 1\nuuid=5f2c\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\nmac-address=52:54:00:00:00:11\n\n' +
  '[ipv4]\naddress1=10.0.0.11/24,10.0.0.1\ndns=10.0.0.2;\nmethod=manual\n\n[ipv6]\nmethod=ignore\n';
const IFCFG =
  'DEVICE=eth0\nHWADDR=52:54:00:00:00:11\nBOOTPROTO=none\nIPADDR="10.0.0.11"\nPREFIX=24\nGATEWAY=10.0.0.1\nONBOOT=yes\n';

const NEW_ID = deriveId(MACHINE_ID, SPARE);
const bootEntry = (id: string): string =>
  `title Debian\nmachine-id ${id}\noptions root=/dev/vda2 systemd.machine_id=${id}\nlinux /${id}/6.1/linux\n`;
const DHCPCD = 'hostname\ninterface eth0\nstatic ip_address=10.0.0.11/24\nstatic routers=10.0.0.1\n';

const ownCases: Readonly<Record<string, Omit<RuleCase, 'rule'>>> = {
  'boot-loader': {
    image: {
      '/boot/efi/EFI/debian/shimx64.efi': 'shim',
      '/boot/efi/EFI/debian/grubx64.efi': 'grub',
      '/boot/efi/EFI/old/grubx64.efi': 'another grub',
      '/etc/os-release': 'ID=debian\n',
    },
    after: { '/boot/efi/EFI/BOOT/BOOTX64.EFI': 'shim', '/boot/efi/EFI/BOOT/grubx64.efi': 'grub' },
    otherHardware: true,
    disk: {
      attached: [{ at: '/boot/efi', type: 'fat', uuid: 'A1B2-C3D4', line: 'UUID=A1B2-C3D4 /boot/efi vfat' }],
      swaps: [],
      unread: [],
    },
  },
  'system-kind': { image: { '/etc/NIXOS': '', '/etc/hostname': 'web1\n' }, looks: true },
  'host-name': { image: { '/etc/hostname': 'web1\n' }, after: { '/etc/hostname': 'spare1\n' } },
  'hosts-file': {
    image: { '/etc/hosts': HOSTS, '/etc/hostname': 'web1\n' },
    after: {
      '/etc/hosts': HOSTS.replaceAll(/\bweb1\b/g, 'spare1')
        .replace('10.0.0.11 ', '10.0.0.12 ')
        .replace(' wiki # ours', ' # ours\n10.0.0.11\twiki'),
    },
  },
  'name-settings': {
    image: { '/etc/mailname': 'web1.example.org\n', '/etc/samba/smb.conf': '[global]\n  netbios name = WEB1\n' },
    after: { '/etc/mailname': 'spare1.example.org\n', '/etc/samba/smb.conf': '[global]\n  netbios name = SPARE1\n' },
  },
  ifupdown: {
    image: { '/etc/network/interfaces': INTERFACES },
    after: { '/etc/network/interfaces': INTERFACES.replace('10.0.0.11', '10.0.0.12') },
  },
  networkd: {
    image: { '/etc/systemd/network/10-lan.network': NETWORK },
    after: {
      '/etc/systemd/network/10-lan.network': NETWORK.replace('10.0.0.11', '10.0.0.12').replace(
        '52:54:00:00:00:11',
        '52:54:00:00:00:12',
      ),
    },
  },
  netplan: {
    image: { '/etc/netplan/50-cloud-init.yaml': NETPLAN, '/etc/netplan/README': 'see netplan(5)\n' },
    after: {
      '/etc/netplan/50-cloud-init.yaml': NETPLAN.replace('"10.0.0.11/24"', '"10.0.0.12/24"').replace(
        '52:54:00:00:00:11',
        '52:54:00:00:00:12',
      ),
    },
  },
  'network-manager': {
    image: { '/etc/NetworkManager/system-connections/Wired 1.nmconnection': KEYFILE },
    after: {
      '/etc/NetworkManager/system-connections/Wired 1.nmconnection': KEYFILE.replace(
        '10.0.0.11/24,10.0.0.1',
        '10.0.0.12/24,10.0.0.1',
      ).replace('52:54:00:00:00:11', '52:54:00:00:00:12'),
    },
  },
  ifcfg: {
    image: { '/etc/sysconfig/network-scripts/ifcfg-eth0': IFCFG, '/etc/sysconfig/network': 'NETWORKING=yes\n' },
    after: {
      '/etc/sysconfig/network-scripts/ifcfg-eth0': IFCFG.replace('10.0.0.11', '10.0.0.12').replace(
        '52:54:00:00:00:11',
        '52:54:00:00:00:12',
      ),
    },
  },
  'machine-id-copies': {
    image: {
      '/etc/machine-id': `${MACHINE_ID}\n`,
      '/etc/default/grub': 'GRUB_CMDLINE_LINUX="quiet"\n',
      [`/boot/efi/loader/entries/${MACHINE_ID}-6.1.conf`]: bootEntry(MACHINE_ID),
      [`/boot/efi/${MACHINE_ID}/6.1/linux`]: 'kernel\n',
    },
    after: {
      [`/boot/efi/loader/entries/${MACHINE_ID}-6.1.conf`]: null,
      [`/boot/efi/loader/entries/${NEW_ID}-6.1.conf`]: bootEntry(NEW_ID),
      [`/boot/efi/${NEW_ID}/6.1/linux`]: 'kernel\n',
    },
  },
  dhcpcd: {
    image: { '/etc/dhcpcd.conf': DHCPCD },
    after: { '/etc/dhcpcd.conf': DHCPCD.replace('10.0.0.11', '10.0.0.12') },
  },
  interfaces: {
    image: {
      '/etc/network/interfaces': `${INTERFACES}iface bond0 inet manual\n\tbond-slaves eth1 eth2\n`,
    },
    looks: true,
  },
  'machine-id': { image: { '/etc/machine-id': `${MACHINE_ID}\n` }, derives: true },
  'ssh-host-keys': {
    image: { '/etc/ssh/ssh_host_ed25519_key': old.privateKey, '/etc/ssh/ssh_host_ed25519_key.pub': old.publicKey },
    secrets: [old.privateKey.split('\n')[2] ?? ''],
  },
  agent: {
    image: {
      '/etc/understudy/agent.json': JSON.stringify(LEAD.agent),
      '/etc/systemd/system/understudy-agent.service': '[Service]\nExecStart=/usr/bin/node agent.js\n',
    },
    secrets: [LEAD.agent?.token ?? ''],
  },
  addresses: { image: { '/etc/hostname': 'web1\n' }, looks: true },
  mentions: { image: { '/etc/motd': 'Welcome to web1\n', '/etc/app.conf': 'listen 10.0.0.11\n' }, looks: true },
  'identity-signs': { image: { '/opt/shop/state/node-id': '17-ab\n' }, looks: true },
  certificates: { image: { '/etc/ssl/certs/ssl-cert-snakeoil.pem': certificate() }, looks: true },
};

const cases: Readonly<Record<string, Omit<RuleCase, 'rule'>>> = {
  ...ownCases,
  ...Object.fromEntries(Object.entries(serviceCases).map(([name, one]) => [name, ruleCase(one)])),
};

function ruleCase({ files, finds, after, derives = false, secrets = [] }: ServiceCase): Omit<RuleCase, 'rule'> {
  const looks = finds.every(([, action]) => action === 'keep' || action === 'unknown');
  return { image: files, looks, derives, secrets, ...(after === undefined ? {} : { after }) };
}

it('identity rules - each that comes with the program is tried against the contract', () => {
  expect(Object.keys(cases).sort()).toEqual(builtinRules.map(({ name }: Rule) => name).sort());
});

for (const rule of builtinRules) {
  const one = cases[rule.name];
  if (one !== undefined) describeRule({ rule, ...one }, makers);
}

const settings = (text: object): string => `${JSON.stringify(text, null, 2)}\n`;
const [leadSettings, spareSettings] = [LEAD, SPARE].map((one) => ({ ...one.agent, ca: 'authority' }));

describeRule(
  {
    rule: builtinRules.find(({ name }) => name === 'agent') ?? expect.fail('there is a rule for the agent'),
    image: {
      '/etc/understudy/agent.json': settings({ ...leadSettings, token: undefined, certFile: 'agent.crt' }),
      '/etc/understudy/agent.crt': 'certificate of the lead\n',
      // Where the agent looks when the settings do not say.
      '/etc/understudy/agent.key': 'secret key of the lead\n',
    },
    after: {
      '/etc/understudy/agent.json': settings({
        host: 'spare1',
        controller: spareSettings?.controller,
        ca: 'authority',
        token: SPARE.agent?.token,
      }),
      '/etc/understudy/agent.crt': null,
      '/etc/understudy/agent.key': null,
    },
  },
  makers,
);

it.each(Object.entries(serviceCases))(
  'identity rules - %s finds what there is, and nothing else',
  async (name, one) => {
    const rule = builtinRules.find((each) => each.name === name);
    const found = await rule?.find(fileTree(memoryTree(one.files)), {
      lead: LEAD,
      understudy: SPARE,
      claimed: new Set(),
    });
    expect(found?.map(({ path, action }) => [path, action])).toEqual(one.finds);
    for (const { why } of found ?? []) expect(why).toMatch(/^[A-Z].*\.$/);
  },
);
