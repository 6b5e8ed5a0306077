// Which names in /etc/hosts are a host's own: those that hostname(1) finds for it, and nothing that other computers or
// sites are called.
import { describe, expect, it } from 'vitest';
import { memoryTree } from '../../../test/support/memory-tree.ts';
import type { HostIdentity, Plan } from '../contract.ts';
import { identify } from '../identify.ts';
import { makePlan } from '../plan.ts';
import { fileTree } from '../tree/mod.ts';
import { hostsFileRule } from './hosts-file.ts';

const makers = {
  foresee: () => {},
  sshHostKey: async () => {
    throw new Error('no key is asked for');
  },
};
const SPARE: HostIdentity = host('spare1', '10.0.0.12', 'example.org');

function host(hostName: string, address: string, domain?: string): HostIdentity {
  const interfaces = [{ name: 'eth0', mac: '', addresses: [`${address}/24`], gateway: '10.0.0.1' }];
  return { hostName, interfaces, ...(domain === undefined ? {} : { domain }) };
}

interface Outcome {
  readonly text: string;
  readonly plan: Plan;
  readonly unknown: readonly string[];
}

async function personalised(text: string, lead: HostIdentity, understudy = SPARE): Promise<Outcome> {
  const plan = await makePlan(memoryTree({ '/etc/hosts': text }), { lead, understudy }, [hostsFileRule], makers);
  const after = plan.changes.find(({ path }) => path === '/etc/hosts')?.after ?? text;
  return { text: after, plan, unknown: plan.unknown.map(({ value }) => value) };
}

const RHEL =
  '127.0.0.1   localhost localhost.localdomain localhost4 localhost4.localdomain4\n' +
  '::1         localhost localhost.localdomain localhost6 localhost6.localdomain6\n';
const DEBIAN = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\n';

describe('names that every computer has', () => {
  it.each([
    ['localhost', 'localdomain', RHEL],
    ['localhost', undefined, RHEL],
    ['localhost4', 'localdomain4', RHEL],
    ['localhost', 'localdomain', DEBIAN],
    ['ip6-localhost', undefined, DEBIAN],
    ['LOCALHOST', undefined, DEBIAN],
  ])('a lead named %s.%s changes no loopback line', async (hostName, domain, text) => {
    expect(await personalised(text, host(hostName, '10.0.0.11', domain))).toMatchObject({ text, unknown: [] });
  });

  it('the address of a lead without a name of its own is changed all the same', async () => {
    const outcome = await personalised(`${RHEL}10.0.0.11 localhost.localdomain\n`, host('localhost', '10.0.0.11'));
    expect(outcome).toMatchObject({ text: `${RHEL}10.0.0.12 localhost.localdomain\n`, unknown: [] });
  });
});

describe('names of others that begin like the host', () => {
  const sites = '127.0.0.1 localhost mail.customer-a.com\n127.0.0.1 mail.customer-b.com\n';

  it.each([
    ['its domain is known', host('mail', '10.0.0.11', 'example.org')],
    ['its domain is not known', host('mail', '10.0.0.11')],
  ])('on loopback lines they stay: %s', async (_, lead) => {
    const outcome = await personalised(`${sites}127.0.1.1 mail.example.org mail\n`, lead);
    expect(outcome).toMatchObject({ text: `${sites}127.0.1.1 spare1.example.org spare1\n`, unknown: [] });
  });

  it('they stay where nothing else in the file is called like the host', async () => {
    expect(await personalised(sites, host('mail', '10.0.0.11'))).toMatchObject({ text: sites, unknown: [] });
  });

  it('on lines of other computers they stay', async () => {
    const others = '10.0.0.20 mail.customer-a.com\n10.0.0.21 mail\n';
    expect(await personalised(others, host('mail', '10.0.0.11', 'example.org'))).toMatchObject({ text: others });
  });

  it('behind its own address they are names that somebody has to decide about', async () => {
    const text = '10.0.0.11 mail.example.org mail mail.customer-b.com\n';
    const outcome = await personalised(text, host('mail', '10.0.0.11', 'example.org'));
    expect(outcome.text).toBe('10.0.0.12 spare1.example.org spare1\n10.0.0.11\tmail.customer-b.com\n');
    expect(outcome.unknown).toEqual(['mail.customer-b.com']);
  });

  it('none of them is taken for the domain of the host', async () => {
    const nodes = memoryTree({
      '/etc/hostname': 'mail\n',
      '/etc/hosts': `${sites}10.0.0.11 mail.example.org mail\n`,
      '/etc/network/interfaces': 'auto eth0\niface eth0 inet static\n\taddress 10.0.0.11/24\n',
    });
    expect(await identify(fileTree(nodes))).toMatchObject({ hostName: 'mail', domain: 'example.org' });
  });
});

describe('other names of the address of the lead', () => {
  it('alone on their line: asked about, and left as they are', async () => {
    const text = '10.0.0.11 web1.example.org web1\n10.0.0.11 db  cache # for the shop\n';
    const outcome = await personalised(text, host('web1', '10.0.0.11', 'example.org'));
    expect(outcome.text).toBe('10.0.0.12 spare1.example.org spare1\n10.0.0.11 db  cache # for the shop\n');
    expect(outcome.unknown).toEqual(['db, cache']);
  });

  it('beside its own: they keep the address, in a line of their own', async () => {
    const outcome = await personalised('10.0.0.11\tweb1 db\tweb1.example.org # me\n', host('web1', '10.0.0.11'));
    expect(outcome.text).toBe('10.0.0.12\tspare1\tspare1.example.org # me\n10.0.0.11\tdb\n');
    expect(outcome.unknown).toEqual(['db']);
  });

  it('where no address takes the place of that one, they stay and its own names go', async () => {
    const lead: HostIdentity = {
      ...host('web1', '10.0.0.11'),
      interfaces: [{ name: 'eth0', mac: '', addresses: ['10.0.0.11/24', '10.0.0.99/24'] }],
    };
    expect((await personalised('10.0.0.99 web1 db\n', lead)).text).toBe('10.0.0.99\tdb\n');
  });

  it('behind a loopback address they mean whichever host it is', async () => {
    const outcome = await personalised('127.0.1.1 web1.example.org web1 db\n', host('web1', '10.0.0.11'));
    expect(outcome).toMatchObject({ text: '127.0.1.1 spare1.example.org spare1 db\n', unknown: [] });
  });
});
