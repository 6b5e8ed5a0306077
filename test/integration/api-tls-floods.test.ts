// Strangers on a TLS port, and what is kept of those who show a certificate.
import { once } from 'node:events';
import { Agent, createServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DOOR_LIMITS, Door } from '../../src/api/door.ts';
import { issueCertificate, renewCertificate, revokeCertificates } from '../../src/pki/mod.ts';
import { eventually } from '../rig/wait.ts';
import { OPERATOR } from '../support/api-stage.ts';
import { type Pem, TestAuthority } from '../support/authority.ts';
import { NODE, TlsStage } from '../support/tls-stage.ts';

const CLONE = { lead: 'web1', to: 'spare1' };
/** The first bytes of a ClientHello (RFC 8446, 5.1), without what they announce. */
const HALF_A_HELLO = Buffer.from([22, 3, 1, 2, 0, 1]);

let stage: TlsStage;
let sockets: Socket[] = [];
beforeEach(async () => {
  stage = await TlsStage.open();
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await stage.close();
});

async function user(name: string, role: 'viewer' | 'operator'): Promise<Pem> {
  await stage.authority.user(name, role);
  return stage.authority.pem(`user-${name}`);
}

/** Connections that begin a handshake and do not go on. */
function beginHandshakes(count: number): Promise<readonly Socket[]> {
  const { hostname, port } = new URL(stage.url);
  return Promise.all(Array.from({ length: count }, () => beginHandshake(Number(port), hostname)));
}

async function beginHandshake(port: number, host: string): Promise<Socket> {
  const socket = connect(port, host);
  sockets.push(socket.on('error', () => undefined).resume());
  await once(socket, 'connect');
  socket.write(HALF_A_HELLO);
  return socket;
}

const left = (some: readonly Socket[]): number => some.filter(({ closed }) => !closed).length;

describe('strangers', () => {
  it('tls - 1,800 handshakes that are not finished keep nobody out, and a caller who is known stays', async () => {
    const bob = await user('bob', 'viewer');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const known = new Set<unknown>();
      agent.on('free', (socket) => known.add(socket));
      expect((await stage.ask('/v1/status', { pem: bob, agent })).status).toBe(200);
      const { strangersPerAddressMax } = DOOR_LIMITS;
      await beginHandshakes(strangersPerAddressMax + 300);
      expect((await stage.ask('/v1/status', { token: OPERATOR })).status).toBe(200);
      expect((await stage.ask('/v1/status', { pem: bob })).status).toBe(200);
      // The connection of a caller whose certificate is known has a place that no stranger takes.
      expect((await stage.ask('/v1/status', { pem: bob, agent })).status).toBe(200);
      expect(known.size).toBe(1);
    } finally {
      agent.destroy();
    }
  });

  it('tls - handshakes that are not finished are bounded in number: the oldest give way', async () => {
    const never = 3_600_000;
    const server = createServer({ ...stage.authority.pem(`node-${NODE}`), handshakeTimeout: never });
    const door = new Door(server, { ...DOOR_LIMITS, strangersPerAddressMax: 4, strangerMs: never });
    server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const begun: Socket[] = [];
    for (let count = 1; count <= 7; count += 1) {
      const taken = once(server, 'connection');
      begun.push(await beginHandshake(port, '127.0.0.1'));
      await taken;
    }
    await eventually('the oldest are cut', () => left(begun.slice(0, 3)) === 0);
    expect(left(begun)).toBe(4);
    // Of a finished one too, the connection below it is the one that was counted.
    const answered = once(server, 'secureConnection');
    const client = connectTls({ port, host: '127.0.0.1', ca: stage.authority.authorityPem });
    sockets.push(client.on('error', () => undefined));
    const [secure] = (await answered) as [Socket];
    expect(door.welcome(secure, { name: 'bob', kind: 'certificate', role: 'viewer', services: null })).toBe(true);
    for (let count = 1; count <= 5; count += 1) await beginHandshake(port, '127.0.0.1');
    await eventually('they are cut', () => left(begun) === 0);
    expect(secure.destroyed).toBe(false);
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });

  it('tls - handshakes that are not finished, and those after which nothing is asked, are bounded in time', async () => {
    const { hostname, port } = new URL(stage.url);
    const begun = await beginHandshakes(20);
    const bob = await user('bob', 'viewer');
    const silent = Array.from({ length: 20 }, (_, index) => {
      const shown = index % 2 === 0 ? {} : bob;
      return connectTls({ host: hostname, port: Number(port), ca: stage.authority.authorityPem, ...shown });
    });
    sockets.push(...silent);
    for (const socket of silent) socket.on('error', () => undefined).resume();
    await eventually('all are cut', () => left([...begun, ...silent]) === 0);
    expect(stage.controller.audited).toEqual([]);
  });
});

describe('what is kept of callers with a certificate', () => {
  it('tls - an order has the name of the certificate, and that it was one', async () => {
    const alice = await user('alice', 'operator');
    expect((await stage.ask('/v1/clone', { pem: alice, body: CLONE })).status).toBe(200);
    expect(stage.controller.audited).toMatchObject([
      { type: 'order', who: 'alice', role: 'operator', by: 'certificate', from: '127.0.0.1', request: CLONE },
    ]);
  });

  it('tls - refusals are kept: a name only where our authority has signed it', async () => {
    const [alice, bob] = [await user('alice', 'operator'), await user('bob', 'viewer')];
    const other = await TestAuthority.make();
    try {
      await other.user('alice', 'operator');
      expect((await stage.ask('/v1/status', { pem: other.pem('user-alice') })).status).toBe(401);
    } finally {
      other.remove();
    }
    expect((await stage.ask('/v1/clone', { pem: bob, body: CLONE })).status).toBe(403);
    await revokeCertificates(stage.authority.folder, 'user-alice', Date.now());
    await eventually('it is revoked', async () => (await stage.ask('/v1/status', { pem: alice })).status === 401);
    await user('carol', 'viewer');
    stage.authority.replace('user-carol', '/O=understudy/OU=user/OU=role:viewer/CN=carol', -1, 'clientAuth');
    expect((await stage.ask('/v1/status', { pem: stage.authority.pem('user-carol') })).status).toBe(401);
    expect((await stage.ask('/v1/status', { pem: stage.authority.pem(`node-${NODE}`) })).status).toBe(401);
    const kept = stage.controller.audited.map(({ type, who, by, code }) => [type, who, by, code]);
    expect(kept).toEqual([
      ['refusal', null, null, 'API_UNAUTHORIZED'],
      ['refusal', 'bob', 'certificate', 'API_FORBIDDEN'],
      ['refusal', 'alice', null, 'API_UNAUTHORIZED'],
      ['refusal', 'carol', null, 'API_UNAUTHORIZED'],
      ['refusal', NODE, null, 'API_UNAUTHORIZED'],
    ]);
    expect(stage.controller.asked.filter((one) => one.startsWith('clone'))).toEqual([]);
  });

  it('tls - refusals of one address are counted, whatever it shows', async () => {
    const other = await TestAuthority.make();
    try {
      await other.user('alice', 'operator');
      const pem = other.pem('user-alice');
      for (let index = 0; index < 20; index += 1) await stage.ask('/v1/status', index % 2 === 0 ? { pem } : {});
    } finally {
      other.remove();
    }
    expect(stage.controller.audited.length).toBe(1);
    await stage.api.close();
    expect(stage.controller.audited.map(({ type, from, count }) => [type, from, count])).toEqual([
      ['refusal', '127.0.0.1', 1],
      ['refusal', '127.0.0.1', 19],
    ]);
  });
});

describe('operators with a certificate for some services', () => {
  it('tls - give orders about these only, also after a renewal, and look at everything', async () => {
    const { folder } = stage.authority;
    const subject = (name: string, service: string) =>
      ({ kind: 'user', name, role: 'operator', services: [service] }) as const;
    const made = await issueCertificate({ folder, subject: subject('wendy', 'wiki') });
    expect(made).toMatchObject({
      distinguishedName: 'O=understudy,OU=user,OU=role:operator,OU=service:wiki,CN=wendy',
      services: ['wiki'],
    });
    expect((await renewCertificate(made, { folder })).services).toEqual(['wiki']);
    await issueCertificate({ folder, subject: subject('sam', 'shop') });
    const ask = async (name: string, path: string, body?: object): Promise<number> =>
      (await stage.ask(path, { pem: stage.authority.pem(`user-${name}`), ...(body === undefined ? {} : { body }) }))
        .status;
    expect([await ask('sam', '/v1/clone', CLONE), await ask('sam', '/v1/status')]).toEqual([403, 200]);
    expect(stage.controller.asked).not.toContain('clone web1 spare1');
    expect(await ask('wendy', '/v1/clone', CLONE)).toBe(200);
  });

  it.each([
    ['a viewer', '/O=understudy/OU=user/OU=role:viewer/OU=service:wiki/CN=alice'],
    ['a limit that is empty', '/O=understudy/OU=user/OU=role:operator/OU=service:/CN=alice'],
    ['something that is not a limit', '/O=understudy/OU=user/OU=role:operator/OU=wiki/CN=alice'],
    ['a host', '/O=understudy/OU=host/OU=service:wiki/CN=web1'],
  ])('tls - a subject of %s that names services otherwise is not one of ours', async (_, subject) => {
    await user('alice', 'operator');
    stage.authority.replace('user-alice', subject, 9, 'clientAuth');
    expect((await stage.ask('/v1/status', { pem: stage.authority.pem('user-alice') })).status).toBe(401);
  });
});
