// The interface with TLS: who is let in, who is not and what both sides are told, and that renewed and revoked
// certificates count without a restart.
import { once } from 'node:events';
import { chmodSync, copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApi } from '../../src/api/mod.ts';
import { loadConfiguration } from '../../src/config/mod.ts';
import { renewCertificate, revokeCertificates, serialOf } from '../../src/pki/mod.ts';
import { eventually } from '../rig/wait.ts';
import { OPERATOR } from '../support/api-stage.ts';
import { type Pem, TestAuthority } from '../support/authority.ts';
import { ConfigFolder, changed, drivers } from '../support/config-folder.ts';
import { ControllerPeer } from '../support/controller-peer.ts';
import { NODE, TlsStage } from '../support/tls-stage.ts';

const CLONE = { lead: 'web1', to: 'spare1' };

const report = (host: string) => ({
  ...{ boot: '0123456789abcdef0123456789abcdef', sequence: 1, sentAt: '2026-11-24T10:00:00.000Z', host },
  ...{ verdict: 'healthy', since: '2026-11-24T09:59:00.000Z', ageMs: 60_000, evidence: [], score: 0 },
  ...{ lacksCapacity: false, outside: null, signals: {}, changes: [], dropped: 0 },
});

let stage: TlsStage;
beforeEach(async () => {
  stage = await TlsStage.open();
});
afterEach(() => stage.close());

/** Status and message. */
async function answer(path: string, options: Parameters<TlsStage['ask']>[1] = {}): Promise<string> {
  const { status, json } = await stage.ask(path, options);
  return `${status} ${(json as { error?: { message: string } } | null)?.error?.message ?? ''}`.trim();
}

async function user(name: string, role: 'viewer' | 'operator'): Promise<Pem> {
  await stage.authority.user(name, role);
  return stage.authority.pem(`user-${name}`);
}

async function host(name: string): Promise<Pem> {
  await stage.authority.host(name);
  return stage.authority.pem(`host-${name}`);
}

describe('who is let in', () => {
  it('tls - users by their role, and tokens as before', async () => {
    const [alice, bob] = [await user('alice', 'operator'), await user('bob', 'viewer')];
    expect(await answer('/v1/status', { pem: bob })).toBe('200');
    expect(await answer('/v1/clone', { pem: alice, body: CLONE })).toBe('200');
    expect(await answer('/v1/clone', { token: OPERATOR, body: CLONE })).toBe('200');
    stage.controller.asked.splice(0);
    expect(await answer('/v1/clone', { pem: bob, body: CLONE })).toMatch(/^403 bob may look, and not change anything/);
    // What the connection shows goes before what is written into a request.
    expect(await answer('/v1/clone', { pem: bob, token: OPERATOR, body: CLONE })).toMatch(/^403 bob may look/);
    expect(stage.controller.asked).toEqual([]);
  });

  it('tls - a host reports for itself, not for another, and asks for nothing else', async () => {
    const web1 = await host('web1');
    expect(await answer('/v1/agents/web1/reports', { pem: web1, body: report('web1') })).toBe('200');
    const other = await answer('/v1/agents/spare1/reports', { pem: web1, body: report('spare1') });
    expect(other).toBe('403 the agent of web1 may not report for spare1');
    expect(await answer('/v1/status', { pem: web1 })).toMatch(/^403 an agent may only report/);
    expect(await answer('/v1/clone', { pem: web1, body: CLONE })).toMatch(/^403 an agent may only report/);
    const alice = await user('alice', 'operator');
    const asUser = await answer('/v1/agents/web1/reports', { pem: alice, body: report('web1') });
    expect(asUser).toBe('403 only agents report');
  });

  it('tls - the version is 1.3, and plain HTTP has no answer', async () => {
    const { hostname, port } = new URL(stage.url);
    const old = connectTls({
      host: hostname,
      port: Number(port),
      maxVersion: 'TLSv1.2',
      ca: stage.authority.authorityPem,
    });
    const [error] = (await once(old, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toMatch(/PROTOCOL_VERSION/);
    const now = connectTls({ host: hostname, port: Number(port), ca: stage.authority.authorityPem });
    await once(now, 'secureConnect');
    expect(now.getProtocol()).toBe('TLSv1.3');
    now.destroy();
    await expect(fetch(stage.url.replace('https:', 'http:'))).rejects.toThrow(/fetch failed/);
  });
});

describe('who is not let in', () => {
  it('tls - whoever connects and says nothing, or half of it, is cut off', async () => {
    const { hostname, port } = new URL(stage.url);
    const silent = Array.from({ length: 20 }, (_, number) => {
      const socket = connect(Number(port), hostname);
      // The first bytes of a ClientHello (RFC 8446, 5.1), without what they announce.
      if (number % 2 === 0) socket.write(Buffer.from([22, 3, 1, 2, 0, 1]));
      return once(socket, 'close');
    });
    await Promise.all(silent);
    expect(await answer('/healthz')).toBe('200');
  });

  it('tls - nothing shown: a token or a certificate is needed', async () => {
    expect(await answer('/v1/status')).toMatch(/^401 a token or a certificate is needed/);
    expect(await answer('/v1/status', { token: 'nobody-0123456789abcdef' })).toMatch(/^401 this token is not known/);
    expect(await answer('/healthz')).toBe('200');
  });

  it('tls - of another authority, expired, without a role or with two, for a server only, of a node', async () => {
    const other = await TestAuthority.make();
    try {
      await other.user('alice', 'operator');
      const alice = other.pem('user-alice');
      const refused = '401 this certificate is not accepted: another authority has signed it';
      expect(await answer('/v1/status', { pem: alice })).toBe(refused);
      // A token does not make up for it: whoever uses a certificate is to notice that it is not accepted.
      expect(await answer('/v1/status', { pem: alice, token: OPERATOR })).toBe(refused);
    } finally {
      other.remove();
    }
    await user('alice', 'operator');
    const good = '/O=understudy/OU=user/OU=role:operator/CN=alice';
    const cases = [
      [good, -1, 'clientAuth', /^401 this certificate has expired on /],
      [good, 9, 'serverAuth', /^401 this certificate is not accepted: it was not made for this purpose/],
      ['/O=understudy/OU=user/CN=alice', 9, 'clientAuth', /^401 this certificate is not one of a user or a host/],
      ['/O=understudy/OU=user/OU=role:admin/CN=alice', 9, 'clientAuth', /^401 .* not one of a user/],
      ['/O=understudy/OU=user/OU=role:viewer/OU=role:operator/CN=alice', 9, 'clientAuth', /^401 .* not one of a user/],
      ['/O=other/OU=user/OU=role:operator/CN=alice', 9, 'clientAuth', /^401 .* not one of a user/],
      ['/O=understudy/OU=host/OU=role:operator/CN=web1', 9, 'clientAuth', /^401 .* not one of a user/],
      ['/O=understudy/OU=user/OU=role:operator/CN=alice/CN=bob', 9, 'clientAuth', /^401 .* not one of a user/],
    ] as const;
    for (const [subject, days, purpose, said] of cases) {
      stage.authority.replace('user-alice', subject, days, purpose);
      expect(await answer('/v1/status', { pem: stage.authority.pem('user-alice') }), subject).toMatch(said);
    }
    const node = await answer('/v1/status', { pem: stage.authority.pem(`node-${NODE}`) });
    expect(node).toBe(`401 this certificate is of node-${NODE}, and only users and hosts ask`);
    expect(stage.controller.asked).toEqual([]);
  });
});

/** A reader of events; what came, and whether the connection is still there. */
class Reader {
  text = '';
  over = false;

  constructor(pem: Pem) {
    const options = { ca: stage.authority.authorityPem, agent: false, ...pem };
    const request = httpsRequest(`${stage.url}/v1/events`, options, (response: IncomingMessage) => {
      response.on('data', (chunk: Buffer) => {
        this.text += chunk.toString();
      });
      response.on('error', () => undefined);
      response.on('close', () => {
        this.over = true;
      });
    });
    request.on('error', () => {
      this.over = true;
    });
    request.end();
  }
}

describe('without a restart', () => {
  it('tls - a renewed certificate is shown to new connections, and those that are there go on', async () => {
    const bob = await user('bob', 'viewer');
    const reader = new Reader(bob);
    await eventually('the reader is connected', () => reader.text.includes('retry:'));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const sockets = new Set<unknown>();
      agent.on('free', (socket) => sockets.add(socket));
      const before = await stage.ask('/v1/status', { pem: bob, agent });
      const [node] = (await stage.authority.read()).certificates.filter(({ kind }) => kind === 'node');
      if (node === undefined) throw new Error('the node has a certificate');
      expect(before.serial).toBe(node.serial);
      const renewed = await renewCertificate(node, { folder: stage.authority.folder });
      await eventually('new connections see it', async () => {
        return (await stage.ask('/healthz')).serial === renewed.serial;
      });
      const after = await stage.ask('/v1/status', { pem: bob, agent });
      expect([after.status, after.serial, sockets.size]).toEqual([200, node.serial, 1]);
      stage.controller.emit({ kind: 'power', subject: 'web1', text: 'web1 is on', data: {} });
      await eventually('the reader hears of it', () => reader.text.includes('web1 is on'));
      expect(reader.over).toBe(false);
      expect(stage.said.join('\n')).toContain(`certificates read again: node-${NODE} until `);
    } finally {
      agent.destroy();
    }
  });

  it('tls - a revoked user is refused on the connection that is there, and the stream of events ends', async () => {
    const [alice, bob] = [await user('alice', 'operator'), await user('bob', 'viewer')];
    const [ends, stays] = [new Reader(alice), new Reader(bob)];
    await eventually('both read', () => [ends, stays].every(({ text }) => text.includes('retry:')));
    await revokeCertificates(stage.authority.folder, 'user-alice', Date.now());
    await eventually('the stream of the revoked ends', () => ends.over);
    expect(await answer('/v1/clone', { pem: alice, body: CLONE })).toBe('401 this certificate was revoked');
    expect(stage.controller.asked.filter((one) => one.startsWith('clone'))).toEqual([]);
    expect(await answer('/v1/status', { pem: bob })).toBe('200');
    expect(stays.over).toBe(false);
    // The name may come back with another key; the old certificate does not.
    const again = await user('alice', 'operator');
    expect(await answer('/v1/status', { pem: again })).toBe('200');
    expect(await answer('/v1/status', { pem: alice })).toBe('401 this certificate was revoked');
  });

  it('tls - what cannot be read is told, and what was read before holds', async () => {
    const key = stage.authority.path(`node-${NODE}.key`);
    const warnings = async (): Promise<string> =>
      ((await stage.ask('/v1/status', { token: OPERATOR })).json as { warnings: string[] }).warnings.join('\n');
    expect(await warnings()).toBe('');
    chmodSync(key, 0o644);
    await eventually('it is told', () => stage.said.some((line) => line.includes('mode 0644')));
    expect(await warnings()).toMatch(/those of before are still used: .*mode 0644.*chmod 600/);
    chmodSync(key, 0o600);
    await eventually('it is over', async () => (await warnings()) === '');
    const revoked = stage.authority.path('revoked');
    writeFileSync(revoked, 'nonsense\n', { mode: 0o600 });
    await eventually('a list that is not understood is told', async () => (await warnings()).includes('revoked:1'));
  });

  it('tls - whom an authority vouched for that is gone has to be vouched for again', async () => {
    const bob = await user('bob', 'viewer');
    const reader = new Reader(bob);
    await eventually('the reader is connected', () => reader.text.includes('retry:'));
    const other = await TestAuthority.make();
    try {
      await other.node(NODE);
      for (const name of [`node-${NODE}.key`, `node-${NODE}.crt`, 'ca.crt']) {
        copyFileSync(other.path(name), stage.authority.path(name));
      }
      await eventually('the stream ends', () => reader.over);
      expect(await answer('/v1/status', { pem: bob })).toMatch(/^401 .*another authority/);
    } finally {
      other.remove();
    }
  });
});

describe('what is told of certificates', () => {
  it('tls - expiry: a gauge for each, and a warning 30 days before', async () => {
    await user('bob', 'viewer');
    stage.authority.replace(`node-${NODE}`, `/O=understudy/OU=node/CN=${NODE}`, 29);
    await stage.api.close();
    await stage.start();
    const { json } = await stage.ask('/v1/status', { token: OPERATOR });
    expect((json as { warnings: string[] }).warnings).toEqual([
      expect.stringMatching(
        new RegExp(
          `^certificate node-${NODE} expires on 20..-..-.., in 2[89] days: understudy pki renew node-${NODE}$`,
        ),
      ),
    ]);
    const { text } = await stage.ask('/metrics', { token: OPERATOR });
    const { certificates, authorities } = await stage.authority.read();
    for (const { kind, name, expiresMs } of certificates) {
      const line = `understudy_certificate_expiry_timestamp_seconds{kind="${kind}",name="${name}"} ${expiresMs / 1000}`;
      expect(text).toContain(`${line}\n`);
    }
    expect(text).toContain(`{kind="authority",name="authority"} ${(authorities[0]?.expiresMs ?? 0) / 1000}\n`);
  });
});

describe('without TLS', () => {
  it('tls - beyond loopback nothing listens, unless somebody wrote that it may', async () => {
    const config = new ConfigFolder();
    try {
      const written = (api: string) => config.write(changed('api:\n', `api:\n  host: 0.0.0.0\n${api}`));
      const refused = loadConfiguration(written(''), drivers);
      await expect(refused).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
      await expect(refused).rejects.toThrow(/:3:9: api.host: .*there is no tls \(set tls .*api.insecure: true\)/);
      const configuration = await loadConfiguration(written('  insecure: true\n'), drivers);
      const controller = new ControllerPeer();
      // The interface looks itself: a configuration need not come from a file.
      const closed = { ...configuration, api: { ...configuration.api, insecure: false } };
      const never = await createApi({ controller, configuration: closed, version: '1' });
      await expect(never.listen()).rejects.toMatchObject({ code: 'API_INSECURE' });
      await never.close();
      const api = await createApi({ controller, configuration, version: '1' });
      try {
        const { url } = await api.listen();
        expect(url).toMatch(/^http:/);
        expect(api.warnings()[0]).toMatch(/0.0.0.0 is not encrypted \(api.insecure\)/);
      } finally {
        await api.close();
      }
    } finally {
      config.remove();
    }
  });

  it.each([
    ['key', /node-san-a.key does not exist|the key of .*does not exist/],
    ['crt', /has no node-san-a.crt: "understudy pki issue node san-a"/],
  ])('tls - it does not start without its %s', async (end, said) => {
    rmSync(stage.authority.path(`node-${NODE}.${end}`));
    const configuration = await loadConfiguration(stage.file, drivers);
    const made = createApi({ controller: new ControllerPeer(), configuration, version: '1' });
    await expect(made).rejects.toThrow(said);
  });

  it('tls - it does not start with a key that others can read', async () => {
    chmodSync(stage.authority.path(`node-${NODE}.key`), 0o640);
    const configuration = await loadConfiguration(stage.file, drivers);
    const made = createApi({ controller: new ControllerPeer(), configuration, version: '1' });
    await expect(made).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
  });
});

it('tls - serial numbers are compared as both sides write them', async () => {
  const { certificates } = await stage.authority.read();
  const { X509Certificate } = await import('node:crypto');
  const x509 = new X509Certificate(readFileSync(certificates[0]?.file ?? ''));
  expect(serialOf(x509)).toBe(certificates[0]?.serial);
  expect(serialOf({ serialNumber: '000AF' })).toBe('af');
});
