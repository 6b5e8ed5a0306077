// The fake director passes the suite of the real one, and can be broken on purpose.
import { describe, expect, it } from 'vitest';
import { codeOf, memoryEpochGate } from '../../src/base/mod.ts';
import { FakeDirector } from '../../src/director/mod.ts';
import { type DirectorStage, describeDirector, type StageServer } from './director.ts';

const SERVICE = 'wiki';

class FakeServer implements StageServer {
  readonly name: string;
  readonly address = '10.0.0.11';
  readonly port: number;
  dead = false;

  constructor(name: string, port: number) {
    this.name = name;
    this.port = port;
  }
}

async function createStage(): Promise<DirectorStage> {
  const servers = [new FakeServer('web1', 1)];
  const [lead] = servers as [FakeServer];
  const at = (port: number) => servers.find((server) => server.port === port);
  const director = new FakeDirector({
    services: { [SERVICE]: [{ name: lead.name, address: lead.address, port: lead.port, traffic: 'all' }] },
    gate: memoryEpochGate(),
    responseMs: (_address, port) => (at(port)?.dead === false ? 3 : null),
    timeoutMs: 600_000,
  });
  /** What a user sees is the server at the address, whatever the director calls it. */
  const answeredBy = async (name: string): Promise<string | null> => {
    const { servers: known } = await director.observe(SERVICE, { epoch: 1, signal: new AbortController().signal });
    return at(known.find((server) => server.name === name)?.port ?? 0)?.name ?? null;
  };
  return {
    director,
    service: SERVICE,
    lead,
    server: async (name) => {
      const server = new FakeServer(name, servers.length + 1);
      servers.push(server);
      return server;
    },
    request: async (kind) => {
      const request = director.request(SERVICE, kind);
      request?.end();
      return request === null ? null : answeredBy(request.server);
    },
    open: async (kind) => {
      const request = director.request(SERVICE, kind);
      if (request === null) throw new Error('nobody answers');
      return { server: request.server, release: () => request.end(), whole: request.whole };
    },
    reload: async () => director.restart(),
    restart: async () => director.restart(),
    close: async () => {},
  };
}

describeDirector('fake', { create: createStage });

describe('the fake director', () => {
  const call = { epoch: 1, signal: new AbortController().signal };
  const spare = { name: 'spare1', address: '10.0.0.12', port: 80, traffic: 'reads' } as const;

  function broken(): { director: FakeDirector; waitedMs: () => number } {
    let waitedMs = 0;
    const director = new FakeDirector({
      services: { [SERVICE]: [] },
      gate: memoryEpochGate(),
      responseMs: () => null,
      wait: async (ms) => {
        waitedMs += ms;
      },
    });
    return { director, waitedMs: () => waitedMs };
  }

  async function codeOfCall(work: Promise<unknown>): Promise<string | null> {
    return work.then(
      () => null,
      (error: unknown) => codeOf(error),
    );
  }

  it('director - waits in the time of its simulation', async () => {
    const { director, waitedMs } = broken();
    expect(await codeOfCall(director.admit(SERVICE, spare, call))).toBe('DIRECTOR_TIMEOUT');
    expect(waitedMs()).toBe(1000);
  });

  it.each([
    ['unreachable', 'DIRECTOR_FAILED'],
    ['hang', 'DIRECTOR_TIMEOUT'],
    ['ignore', 'DIRECTOR_TIMEOUT'],
  ] as const)('director - can be broken: %s', async (fault, code) => {
    const { director } = broken();
    director.fault(fault);
    expect(await codeOfCall(director.drain(SERVICE, 'spare1', call))).toBe(code);
    if (fault !== 'ignore') expect(await codeOfCall(director.observe(SERVICE, call))).toBe(code);
    director.fault(null);
    await director.drain(SERVICE, 'spare1', call);
  });
});
