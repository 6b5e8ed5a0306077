// Looking at the network from this machine, beyond the contract's suite: hosts that misbehave, links that cannot be used, rights
// that are missing, looks that are stopped half-way.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Call, codeOf, messageOf, present } from '../../src/base/mod.ts';
import type { ServiceCheck } from '../../src/network/mod.ts';
import { commandOf } from '../rig/processes.ts';
import { eventually } from '../rig/wait.ts';
import { Lan } from '../support/net-namespace.ts';
import { ProbeInLan, SshServer, STATION_PORTS, startStation } from '../support/network-station.ts';

let network: { readonly lan: Lan; readonly probe: ProbeInLan } | null = null;
const lan = (): Lan => present(network, 'network').lan;
const probe = (): ProbeInLan => present(network, 'network').probe;

beforeAll(async () => {
  const made = await Lan.make({ hosts: ['web', 'other'] });
  try {
    await startStation(made, 'web');
    network = { lan: made, probe: await ProbeInLan.start(made) };
  } catch (error) {
    await made.close();
    throw error;
  }
});
afterAll(() => network?.lan.close());

function callOf(signal: AbortSignal = new AbortController().signal): Call {
  return { epoch: 1, signal };
}

async function failureOf(work: Promise<unknown>): Promise<{ code: string | null; message: string }> {
  return work.then(
    (value) => ({ code: null, message: JSON.stringify(value) }),
    (error: unknown) => ({ code: codeOf(error), message: messageOf(error) }),
  );
}

function look(more: Partial<ServiceCheck>) {
  const check = { kind: 'http', port: STATION_PORTS.web, timeoutMs: 60_000, ...more } as const;
  return probe().check(lan().host('web').address, check, callOf());
}

/** What runs in the namespace of the probe. */
async function programs(): Promise<readonly string[]> {
  const pids = (await lan().run('ip', ['netns', 'pids', lan().namespace])).trim().split('\n');
  return pids.map((pid) => commandOf(Number(pid)));
}

describe('a check of a service that misbehaves', () => {
  it.each([
    [{ path: '/ok' }, true, /^200 OK, 29 bytes$/],
    [{ path: '/moved' }, true, /^302 Found, 0 bytes$/],
    [{ path: '/large' }, true, /^200 OK, more than 1048576 bytes$/],
    [{ path: '/large', contains: 'z' }, false, /^200 OK, more than 1048576 bytes, without "z"$/],
    [{ path: '/endless' }, true, /^200 OK, more than 1048576 bytes$/],
    [{ path: '/divided', contains: 'is well' }, true, /^200 OK, 11 bytes$/],
    [{ path: '/cut' }, false, /^200 OK, cut off after 4 bytes$/],
    [{ path: '/hang', timeoutMs: 300 }, false, /^no answer within 300 ms$/],
    [{ path: '/trickle', timeoutMs: 3000 }, false, /^200 OK, \d+ bytes, but no end within 3000 ms$/],
    [{ port: STATION_PORTS.silent, timeoutMs: 300 }, false, /^no answer within 300 ms$/],
    [{ port: STATION_PORTS.nonsense }, false, /^the answer is not HTTP/],
    [{ port: STATION_PORTS.bigHead }, false, /^the answer is not HTTP/],
    [{ port: STATION_PORTS.closing }, false, /reset|hang up/],
    [{ port: STATION_PORTS.silent, kind: 'tcp' }, true, /^connected$/],
  ] as const)('network - %j', async (check, ok, detail) => {
    const answer = await look(check);
    expect(answer).toMatchObject({ ok, detail: expect.stringMatching(detail) });
  });

  it('network - a host that does not answer at all is waited for as long as said', async () => {
    // Its address is known, and nobody is there to take the packets.
    await lan().ip([`neigh replace 10.88.0.77 lladdr 02:00:00:00:00:77 dev ${lan().link}`]);
    for (const kind of ['tcp', 'http'] as const) {
      const answer = await probe().check('10.88.0.77', { kind, port: 80, timeoutMs: 300 }, callOf());
      expect(answer).toMatchObject({ ok: false, detail: 'no answer within 300 ms' });
    }
  });

  it('network - names are not looked up', async () => {
    const failure = await failureOf(probe().check('localhost', { kind: 'tcp', port: 80 }, callOf()));
    expect(failure).toEqual({ code: 'NETWORK_FAILED', message: '"localhost" is no IP address' });
    expect((await failureOf(probe().sshHostKeys('-v', 22, callOf()))).code).toBe('NETWORK_FAILED');
  });
});

describe('links and rights', () => {
  it('network - says why it cannot look', async () => {
    await lan().ip(['link add down0 type veth peer name down1']);
    const cases = [
      ['nolink', '10.88.0.11', /no such Ethernet link/],
      ['lo', '10.88.0.11', /not Ethernet/],
      ['down0', '10.88.0.11', /the link is down/],
      [lan().link, '2001:db8::1', /not an IPv4 address/],
      [lan().link, 'web', /not an IPv4 address/],
    ] as const;
    for (const [link, address, words] of cases) {
      const failure = await failureOf(probe().holders(link, address, callOf()));
      expect(failure).toMatchObject({ code: 'NETWORK_FAILED', message: expect.stringMatching(words) });
    }
  });

  it('network - without CAP_NET_RAW it says which right is missing, and the rest works', async () => {
    const wrap = ['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw'];
    const weak = await ProbeInLan.start(lan(), wrap);
    const { address } = lan().host('web');
    const failure = await failureOf(weak.holders(lan().link, address, callOf()));
    expect(failure).toMatchObject({ code: 'NETWORK_FAILED', message: expect.stringContaining('CAP_NET_RAW') });
    const answer = await weak.check(address, { kind: 'http', port: STATION_PORTS.web, path: '/ok' }, callOf());
    expect(answer.ok).toBe(true);
  });

  it('network - this machine counts as a holder of its own address', async () => {
    expect(await probe().holders(lan().link, lan().address, callOf())).toEqual(['02:00:0a:58:00:01']);
  });

  it('network - needs no address on the link', async () => {
    const bare = await ProbeInLan.start(lan(), [], lan().host('other').namespace);
    await lan().ip(['address flush dev eth0'], lan().host('other').namespace);
    const { address, mac } = lan().host('web');
    expect(await bare.holders('eth0', address, callOf())).toEqual([mac]);
  });
});

describe('looks that are stopped', () => {
  it('network - ends at once when its caller says so', async () => {
    const { address } = lan().host('web');
    const looks = [
      (call: Call) => probe().holders(lan().link, address, call),
      (call: Call) => probe().check(address, { kind: 'http', port: 80, path: '/hang', timeoutMs: 60_000 }, call),
      (call: Call) => probe().check(address, { kind: 'http', port: 80, path: '/trickle', timeoutMs: 60_000 }, call),
      (call: Call) => probe().sshHostKeys(address, STATION_PORTS.silent, call),
    ];
    for (const start of looks) {
      const stop = new AbortController();
      const stopped = failureOf(start(callOf(stop.signal)));
      // One that is over already would not be stopped, and fail the test.
      expect((await look({ path: '/ok' })).ok).toBe(true);
      stop.abort();
      expect((await stopped).code).toBe('INTERRUPTED');
    }
    await eventually(
      'no ssh-keyscan is left',
      async () => !(await programs()).some((name) => name.includes('keyscan')),
    );
  });
});

describe('host keys', () => {
  it('network - are those of now: other keys after other keys were made', async () => {
    const shown: (readonly string[])[] = [];
    for (const types of [['ed25519'], ['ed25519', 'rsa']]) {
      const server = await SshServer.start(lan(), 'web', types);
      try {
        shown.push(await probe().sshHostKeys(lan().host('web').address, STATION_PORTS.ssh, callOf()));
        expect(shown.at(-1)).toEqual(server.fingerprints);
      } finally {
        await server.stop();
      }
    }
    expect(shown[0]?.[0]).not.toBe(shown[1]?.[0]);
  });

  it('network - a port that is open and says nothing, or nonsense, shows none', async () => {
    const { address } = lan().host('web');
    const ports = [STATION_PORTS.nonsense, STATION_PORTS.closing, STATION_PORTS.silent];
    const keys = await Promise.all(ports.map((port) => probe().sshHostKeys(address, port, callOf())));
    expect(keys).toEqual([[], [], []]);
  });
});
