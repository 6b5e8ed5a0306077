// The fake network passes the suite of the real one.
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/mod.ts';
import { FakeNetwork, type FakeStation } from '../../src/network/mod.ts';
import { ANSWERS, describeNetwork, type NetworkStage } from './network.ts';

function station(number: number, more: Partial<FakeStation> = {}): FakeStation {
  return {
    link: 'br0',
    address: `10.88.0.${number}`,
    mac: `02:00:0a:58:00:${number}`,
    answer: ({ port, path = '/' }) => {
      if (port !== 80) return null;
      const [, status, body] = ANSWERS.find(([known]) => known === path) ?? ['/', 404, ''];
      return { status, body };
    },
    sshPort: 22,
    sshHostKeys: [],
    ...more,
  };
}

async function create(): Promise<NetworkStage> {
  let plugged = true;
  const fingerprints = ['SHA256:a', 'SHA256:b'];
  const web = station(11, { sshHostKeys: ['SHA256:b', 'SHA256:a'] });
  const twins = [station(12), station(13, { address: '10.88.0.12' })] as const;
  const stations = () => (plugged ? [web, ...twins] : twins);
  return {
    probe: new FakeNetwork({ links: ['br0'], stations }),
    link: 'br0',
    web,
    twins,
    freeAddress: '10.88.0.200',
    sshPort: 22,
    fingerprints,
    plug: async (now) => {
      plugged = now;
    },
    close: async () => {},
  };
}

describeNetwork('fake', create);

describe('the fake network', () => {
  it('network - can be broken', async () => {
    const probe = new FakeNetwork({ links: ['br0'], stations: () => [station(11)] });
    const call = { epoch: 1, signal: new AbortController().signal };
    probe.break('no sockets left');
    const looks = [
      probe.holders('br0', '10.88.0.11', call),
      probe.check('10.88.0.11', { kind: 'tcp', port: 80 }, call),
      probe.sshHostKeys('10.88.0.11', 22, call),
    ];
    const codes = await Promise.all(looks.map((look) => look.then(() => null, codeOf)));
    expect(codes).toEqual(['NETWORK_FAILED', 'NETWORK_FAILED', 'NETWORK_FAILED']);
    probe.break(null);
    expect(await probe.holders('br0', '10.88.0.11', call)).toHaveLength(1);
  });
});
