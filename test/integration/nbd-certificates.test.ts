// Certificates of gateways and hosts that are renewed, revoked or damaged while hosts are served.
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { callOf, codeThrown } from '../conformance/storage.ts';
import { attachAll, authorityOf, HOSTS, onGateways, PIECE } from '../rig/gateways.ts';
import { credentialsIn, NbdHost, tryNbd } from '../rig/nbd-host.ts';
import { eventually } from '../rig/wait.ts';

describe('certificates that change', () => {
  it('gateways - a renewed certificate makes its host connect again and no other; no request fails', () =>
    onGateways(async (stage) => {
      const authority = authorityOf(stage);
      const uris = await attachAll(stage);
      const hosts = new Map([...uris].map(([name, uri]) => [name, stage.host(uri, name)] as const));
      const before = new Map(stage.daemons);
      let going = true;
      const writing = [...hosts].map(async ([, host]) => {
        for (let turn = 0; going; turn += 1) {
          await host.write((turn % 8) * PIECE, turn % 200, PIECE);
          await host.expectByte((turn % 8) * PIECE, turn % 200, PIECE);
        }
      });
      authority.replace('host-web1', '/O=understudy/OU=host/CN=web1', 200, 'clientAuth');
      expect(await stage.node.renewCertificates()).toEqual(['web1']);
      expect(await stage.node.renewCertificates()).toEqual([]);
      going = false;
      await Promise.all(writing);
      const after = new Map(stage.daemons);
      const changed = [...after].filter(([name, pid]) => before.get(name) !== pid).map(([name]) => name);
      expect(changed).toEqual([stage.gatewayOf(uris.get('web1') ?? '')]);
      for (const host of hosts.values()) await host.write(0, 9, PIECE);
    }));

  it('gateways - with a new certificate of the node all gateways present it, one after the other', () =>
    onGateways(async (stage) => {
      const uris = await attachAll(stage);
      const host = stage.host(uris.get('web1') ?? '', 'web1');
      await host.write(0, 1, PIECE);
      authorityOf(stage).replace('node-san-a', '/O=understudy/OU=node/CN=san-a', 200);
      expect(await stage.node.renewCertificates()).toEqual(HOSTS);
      for (const name of HOSTS) {
        const credentials = { ...stage.credentials(name), serverName: '127.0.0.1' };
        expect(await tryNbd(uris.get(name) ?? '', credentials)).toMatchObject({ ok: true });
      }
    }));

  it('gateways - a host whose certificate is revoked loses its connections, and gets them back with a new one', () =>
    onGateways(async (stage) => {
      const authority = authorityOf(stage);
      const uris = await attachAll(stage);
      const uri = uris.get('web1') ?? '';
      const old = stage.credentials('web1');
      const impatient = new NbdHost(uri, old, 0);
      try {
        await impatient.write(0, 1, PIECE);
        await authority.revoke('host-web1');
        await stage.node.renewCertificates();
        await expect(impatient.write(0, 2, PIECE)).rejects.toThrow('write');
        expect(await tryNbd(uri, old)).toMatchObject({ ok: false });
        const [volume] = (await stage.node.status()).volumes;
        expect(volume?.problem).toContain('the certificate of web1 was revoked');
        await authority.host('web1');
        await stage.node.renewCertificates();
        await eventually(
          'the host is served again',
          async () => (await stage.node.status()).volumes[0]?.problem === null,
        );
        const fresh = credentialsIn(
          join(authority.folder, 'fresh'),
          authority.authorityPem,
          authority.pem('host-web1'),
          old.serverName,
        );
        expect(await tryNbd(uri, fresh)).toMatchObject({ ok: true });
        expect(await tryNbd(uri, old)).toMatchObject({ ok: false });
        expect((await tryNbd(uris.get('spare1') ?? '', stage.credentials('spare1'))).ok).toBe(true);
      } finally {
        await impatient.end();
      }
    }));

  it.each(['falls behind', 'does not exist'])(
    'gateways - the signed list of revoked certificates %s: the new one is served, each earlier one is refused',
    (what) =>
      onGateways(async (stage) => {
        const authority = authorityOf(stage);
        const uri = (await attachAll(stage, ['web1'])).get('web1') ?? '';
        const first = stage.credentials('web1');
        const { authorityPem, folder } = authority;
        const fresh = (name: string) =>
          credentialsIn(join(folder, name), authorityPem, authority.pem('host-web1'), first.serverName);
        const earlier = [first];
        await authority.node('san-b');
        const signed = readFileSync(authority.path('ca.crl'), 'utf8');
        for (const name of ['second', 'third']) {
          renameSync(authority.path('ca.key'), authority.path('away'));
          await authority.revoke('host-web1');
          renameSync(authority.path('away'), authority.path('ca.key'));
          await authority.host('web1');
          if (name === 'second') earlier.push(fresh(name));
        }
        // As if it had been issued elsewhere, where nothing is known of the revocation.
        if (what === 'falls behind') authority.write('ca.crl', signed);
        else renameSync(authority.path('ca.crl'), authority.path('ca.crl.away'));
        await stage.node.renewCertificates();
        expect(await tryNbd(uri, fresh('third'))).toMatchObject({ ok: true });
        for (const one of earlier) expect(await tryNbd(uri, one)).toMatchObject({ ok: false });
        expect((await stage.node.status()).volumes[0]?.problem).toBe(null);
      }),
  );

  it('gateways - certificates that cannot be read are told, and take nothing from a host that is served', () =>
    onGateways(async (stage) => {
      const authority = authorityOf(stage);
      const uri = (await attachAll(stage, ['web1'])).get('web1') ?? '';
      const before = stage.daemons.get(stage.gatewayOf(uri));
      const whole = authority.pem('node-san-a').cert;
      authority.write('node-san-a.crt', 'no certificate\n');
      expect(await stage.node.renewCertificates()).toEqual([]);
      await stage.process.kill();
      await stage.start();
      expect(stage.daemons.get(stage.gatewayOf(uri))).toBe(before);
      expect(await tryNbd(uri, stage.credentials('web1'))).toMatchObject({ ok: true });
      expect(await codeThrown(stage.node.attach('spare1', 'spare1', callOf()))).toMatch(/^CERTIFICATE_/);
      authority.write('node-san-a.crt', whole);
      await stage.node.attach('spare1', 'spare1', callOf());
    }));
});
