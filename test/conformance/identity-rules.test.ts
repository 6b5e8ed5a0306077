// Every rule that comes with the program, against the contract of rules.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { builtinRules, type Rule } from '../../src/identity/mod.ts';
import type { Makers } from '../../src/identity/rules/mod.ts';
import { LEAD, MACHINE_ID, sshKeyFiles, writeTree } from '../support/system-image.ts';
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

const [old, made] = [keyPair(), keyPair()];
const fresh = { ...made, publicKey: made.publicKey.replace('web1', 'spare1') };
/** Real keys; one is enough, since the engine's own tests have ssh-keygen make each anew. */
const makers: Makers = { sshHostKey: async () => fresh };

const HOSTS =
  '127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.org\tweb1\n  10.0.0.11  web1.example.org web1 wiki # ours\n10.0.0.110\tweb11\n::1 localhost\n';
const INTERFACES = 'auto eth0\niface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n';
const NETWORK = '[Match]\nMACAddress=52:54:00:00:00:11\n\n[Network]\nAddress=10.0.0.11/24\nGateway=10.0.0.1\n';

const cases: Readonly<Record<string, Omit<RuleCase, 'rule'>>> = {
  'host-name': { image: { '/etc/hostname': 'web1\n' }, after: { '/etc/hostname': 'spare1\n' } },
  'hosts-file': {
    image: { '/etc/hosts': HOSTS, '/etc/hostname': 'web1\n' },
    after: {
      '/etc/hosts': HOSTS.replaceAll(/\bweb1\b/g, 'spare1').replace('10.0.0.11 ', '10.0.0.12 '),
    },
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
};

/** They look only: what they find is for others to change, or for somebody to decide. */
const LOOKING = ['addresses', 'mentions'];

it('identity rules - each that comes with the program is tried against the contract', () => {
  expect([...Object.keys(cases), ...LOOKING].sort()).toEqual(builtinRules.map(({ name }: Rule) => name).sort());
});

for (const rule of builtinRules) {
  const one = cases[rule.name];
  if (one !== undefined) describeRule({ rule, ...one }, makers);
}
