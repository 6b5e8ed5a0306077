// Gateways: who reaches which volume over a network, what becomes of connections when somebody loses a volume or a
// certificate, and what is left when processes die.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { choosePort } from '../../src/storage/gateway/ports.ts';
import { callOf, codeThrown } from '../conformance/storage.ts';
import {
  attachAll,
  authorityOf,
  exportsAt,
  filesOfGateways,
  HOSTS,
  onGateways,
  PIECE,
  tcpSocketsOf,
} from '../rig/gateways.ts';
import { type ClientCredentials, credentialsIn, NbdHost, tryNbd } from '../rig/nbd-host.ts';
import { eventually } from '../rig/wait.ts';
import { TestAuthority } from '../support/authority.ts';

const SMALL_READS = 400;

/** Of all connections of this machine: netstat(8), DelayedACKs. */
function delayedAcknowledgements(): number {
  const [names, values] = readFileSync('/proc/net/netstat', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf('DelayedACKs') ?? -1]);
}

describe('gateways', () => {
  it("gateways - no host's certificate opens another host's port, lists its exports, or reaches another volume", () =>
    onGateways(async (stage) => {
      const uris = await attachAll(stage);
      expect(new Set([...uris.values()].map((uri) => new URL(uri).port)).size).toBe(HOSTS.length);
      for (const [owner, uri] of uris) {
        expect(uri).toMatch(new RegExp(`^nbds://127\\.0\\.0\\.1:\\d+/${owner}$`));
        for (const host of HOSTS) {
          const credentials = stage.credentials(host);
          const { ok, said } = await tryNbd(uri, credentials, 'write -P 7 0 512');
          expect([owner, host, ok, said]).toEqual([owner, host, owner === host, expect.anything()]);
          const listed = exportsAt(uri, credentials);
          if (owner === host) expect([...listed.matchAll(/export="(.*?)"/g)].map(([, name]) => name)).toEqual([owner]);
          else expect(listed).toBe('refused');
        }
        const others = [
          ...HOSTS.filter((name) => name !== owner),
          `gateway/${owner}/1/${owner}`,
          'gateway/spare1/2/spare1',
        ];
        for (const name of others) {
          const foreign = uri.replace(/[^/]*$/, encodeURIComponent(name));
          expect(await tryNbd(foreign, stage.credentials(owner))).toMatchObject({ ok: false });
        }
      }
      for (const host of HOSTS) expect(stage.content(host).readUInt8(0)).toBe(7);
    }));

  it('gateways - a client without the certificate of that host is refused: none, plain text, TLS 1.2, another authority, another part', () =>
    onGateways(async (stage) => {
      const authority = authorityOf(stage);
      const uri = (await attachAll(stage, ['web1'])).get('web1') ?? '';
      const own = stage.credentials('web1');
      const other = await TestAuthority.make();
      try {
        await other.host('web1');
        await authority.user('web1', 'operator');
        await authority.node('web1');
        const folder = (name: string): string => join(authority.folder, `as-${name}`);
        const as = (name: string, pem: { cert: string; key: string } | null): ClientCredentials =>
          credentialsIn(folder(name), authority.authorityPem, pem, own.serverName);
        const forged = (name: string, subject: string, days = 5): ClientCredentials => {
          authority.replace('host-spare2', subject, days, 'clientAuth');
          return as(name, authority.pem('host-spare2'));
        };
        const attempts: Record<string, ClientCredentials | null> = {
          'plain text': null,
          'no certificate': as('none', null),
          'TLS 1.2': { ...own, priority: 'NORMAL:-VERS-ALL:+VERS-TLS1.2' },
          'another authority': as('other', other.pem('host-web1')),
          'a user called so': as('user', authority.pem('user-web1')),
          'a node called so': as('node', authority.pem('node-web1')),
          'one part more': forged('more', '/O=understudy/OU=host/OU=host/CN=web1'),
          'a longer name': forged('longer', '/O=understudy/OU=host/CN=web1 '),
          'another case': forged('case', '/O=understudy/OU=host/CN=WEB1'),
          'parts in another order': forged('order', '/CN=web1/OU=host/O=understudy'),
          'a comma in the name': forged('comma', '/O=understudy/CN=x,OU=host,CN=web1'),
          expired: forged('expired', '/O=understudy/OU=host/CN=web1', -1),
        };
        for (const [what, credentials] of Object.entries(attempts)) {
          const { ok } = await tryNbd(uri.replace(/^nbds/, credentials === null ? 'nbd' : 'nbds'), credentials);
          expect([what, ok]).toEqual([what, false]);
          expect([what, exportsAt(uri, credentials)]).toEqual([
            what,
            what === 'TLS 1.2' ? expect.anything() : 'refused',
          ]);
        }
        expect(await tryNbd(uri, own)).toMatchObject({ ok: true });
        // The other way round: a gateway is believed only with a certificate of the node.
        const name = 'tls: the name of the server';
        expect([name, (await tryNbd(uri, { ...own, serverName: 'san-b' })).ok]).toEqual([name, false]);
      } finally {
        other.remove();
      }
    }));

  it('gateways - the daemon that holds the volumes has no socket of TCP, and certificates are for nobody else to read', () =>
    onGateways(async (stage) => {
      await attachAll(stage);
      const sockets = [...stage.daemons].map(([name, pid]) => [name === 'daemon', tcpSocketsOf(pid).length > 0]);
      expect(sockets.sort()).toEqual(
        [
          [false, true],
          [false, true],
          [false, true],
          [true, false],
        ].sort(),
      );
      for (const [name, pid] of [...stage.daemons].filter(([one]) => one !== 'daemon')) {
        const facts = readFileSync(`/proc/${pid}/status`, 'utf8');
        const rights = /^CapPrm:\t(.*)\nCapEff:\t(.*)\nCapBnd:\t(.*)\n/m.exec(facts)?.slice(1);
        expect([name, rights?.map((mask) => BigInt(`0x${mask}`))]).toEqual([name, [0n, 0n, 0n]]);
        expect([name, /^NoNewPrivs:\t(.*)$/m.exec(facts)?.[1]]).toEqual([name, '1']);
      }
      const folders = filesOfGateways(stage).filter((name) => name.endsWith('.tls'));
      expect(folders).toHaveLength(HOSTS.length);
      for (const folder of folders) {
        const path = join(stage.folder, 'state', folder);
        expect(statSync(path).mode & 0o777).toBe(0o700);
        for (const file of readdirSync(path)) expect(statSync(join(path, file)).mode & 0o777).toBe(0o600);
      }
    }));

  it('gateways - a volume that is taken away is out of reach at once, and nothing of its gateway is left', () =>
    onGateways(async (stage) => {
      const uris = await attachAll(stage);
      const uri = uris.get('web1') ?? '';
      const impatient = new NbdHost(uri, stage.credentials('web1'), 0);
      const neighbour = stage.host(uris.get('spare1') ?? '', 'spare1');
      try {
        await impatient.write(0, 1, PIECE);
        await neighbour.write(0, 1, PIECE);
        await stage.node.detach('web1', callOf());
        await expect(impatient.write(0, 2, PIECE)).rejects.toThrow('write');
        expect(await tryNbd(uri, stage.credentials('web1'))).toMatchObject({ ok: false });
        expect(stage.daemons.has(stage.gatewayOf(uri))).toBe(false);
        expect(filesOfGateways(stage).filter((name) => name.startsWith(`${stage.gatewayOf(uri)}.`))).toEqual([]);
        expect(stage.content('web1').readUInt8(0)).toBe(1);
        await neighbour.write(0, 3, PIECE);
        // It finds its volume where it was.
        expect((await stage.node.attach('web1', 'web1', callOf())).uri).toBe(uri);
      } finally {
        await impatient.end();
      }
    }));

  it('gateways - small reads over TLS do not wait for acknowledgements that the host puts off', () =>
    onGateways(async (stage) => {
      const host = stage.host((await attachAll(stage, ['web1'])).get('web1') ?? '', 'web1');
      await host.write(0, 1, PIECE);
      const before = delayedAcknowledgements();
      for (let count = 0; count < SMALL_READS; count += 1) await host.expectByte(0, 1, 4096);
      // Others on this machine put some off too.
      expect(delayedAcknowledgements() - before).toBeLessThan(SMALL_READS / 2);
    }));

  it('gateways - a host with two volumes loses one, and goes on with the other', () =>
    onGateways(async (stage) => {
      const first = (await stage.node.attach('web1', 'web1', callOf())).uri;
      const second = (await stage.node.attach('spare2', 'web1', callOf())).uri;
      expect(new URL(second).port).toBe(new URL(first).port);
      const [kept, lost] = [stage.host(first, 'web1'), new NbdHost(second, stage.credentials('web1'), 0)];
      try {
        await kept.write(0, 1, PIECE);
        await lost.write(0, 1, PIECE);
        await stage.node.detach('spare2', callOf());
        await expect(lost.write(0, 2, PIECE)).rejects.toThrow('write');
        await kept.write(0, 2, PIECE);
        await stage.node.attach('spare2', 'spare2', callOf());
        expect(await tryNbd(second, stage.credentials('web1'))).toMatchObject({ ok: false });
      } finally {
        await lost.end();
      }
    }));
});

describe('gateways and the processes around them', () => {
  it('gateways - outlive the process that runs the node, and are found again', () =>
    onGateways(async (stage) => {
      const uris = await attachAll(stage);
      const host = stage.host(uris.get('web1') ?? '', 'web1');
      await host.write(0, 1, PIECE);
      const before = new Map(stage.daemons);
      await stage.process.kill();
      await host.write(0, 2, PIECE);
      await stage.start();
      expect(new Map(stage.daemons)).toEqual(before);
      await host.write(0, 3, PIECE);
      expect((await stage.node.status()).volumes.map(({ attachment }) => attachment?.uri)).toEqual([...uris.values()]);
    }));

  it.each(['daemon', 'gateway', 'both'] as const)(
    'gateways - nothing is lost when the %s dies while nobody supervises it',
    (what) =>
      onGateways(async (stage) => {
        const uris = await attachAll(stage, ['web1']);
        const uri = uris.get('web1') ?? '';
        const host = stage.host(uri, 'web1');
        await host.write(0, 1, PIECE);
        await stage.process.kill();
        if (what !== 'gateway') await stage.killDaemon();
        if (what !== 'daemon') await stage.killDaemon(stage.gatewayOf(uri));
        const written = host.write(PIECE, 2, PIECE);
        await stage.start();
        await written;
        await host.expectByte(0, 1, PIECE);
        expect(stage.content('web1').readUInt8(PIECE)).toBe(2);
        expect([...stage.daemons.keys()].sort()).toEqual(['daemon', stage.gatewayOf(uri)]);
      }),
  );

  it('gateways - what an earlier life of a gateway was called reaches nothing, also at the socket of the daemon', () =>
    onGateways(async (stage) => {
      const uri = (await attachAll(stage, ['web1'])).get('web1') ?? '';
      const socket = join(stage.folder, 'state/nbd');
      const offered = (): readonly string[] => {
        const listed = execFileSync('nbdinfo', ['--list', `nbd+unix:///?socket=${socket}`], { encoding: 'utf8' });
        return [...listed.matchAll(/export="(.*?)"/g)].map(([, name]) => name ?? '');
      };
      const first = offered();
      expect(first).toHaveLength(1);
      const host = stage.host(uri, 'web1');
      await host.write(0, 1, PIECE);
      await stage.killDaemon(stage.gatewayOf(uri));
      await host.write(0, 2, PIECE);
      const second = offered();
      expect(second).toHaveLength(1);
      expect(second).not.toEqual(first);
      const old = `nbd+unix:///${first[0]}?socket=${socket}`;
      expect(await tryNbd(old, null)).toMatchObject({ ok: false });
    }));

  it('gateways - end with the node that is shut down, or configured otherwise, and leave nothing', () =>
    onGateways(async (stage) => {
      await attachAll(stage);
      await stage.process.stop();
      stage.listen = { kind: 'unix' };
      await stage.start();
      expect([[...stage.daemons.keys()], filesOfGateways(stage)]).toEqual([['daemon'], []]);
      const [volume] = (await stage.node.status()).volumes;
      expect(await tryNbd(volume?.attachment?.uri ?? '', null)).toMatchObject({ ok: true });
      await stage.node.shutdown();
      await eventually('nothing runs', () => stage.daemons.size === 0);
    }));

  it('gateways - thousands of strangers that knock fill no disk and keep nobody out', () =>
    onGateways(async (stage) => {
      const uri = (await attachAll(stage, ['web1'])).get('web1') ?? '';
      const host = stage.host(uri, 'web1');
      await host.write(0, 1, PIECE);
      for (let turn = 0; turn < 40; turn += 1) {
        await Promise.all(Array.from({ length: 100 }, () => knock(Number(new URL(uri).port))));
      }
      await host.write(0, 2, PIECE);
      expect(await tryNbd(uri, stage.credentials('web1'))).toMatchObject({ ok: true });
      const log = join(stage.folder, 'state', `${stage.gatewayOf(uri)}.log`);
      expect(existsSync(log)).toBe(true);
      expect(statSync(log).size).toBeLessThanOrEqual(256 * 1024);
      expect(statSync(log).size).toBeGreaterThan(100 * 1024);
    }));

  it('gateways - without TLS, at one port or many: only what is attached, and only on loopback without being told', () =>
    onGateways(
      async (stage) => {
        const uris = await attachAll(stage, ['web1', 'spare1']);
        expect(new Set([...uris.values()].map((uri) => new URL(uri).port)).size).toBe(1);
        expect(exportsAt(uris.get('web1') ?? '', null)).not.toContain('spare2');
        const host = stage.host(uris.get('web1') ?? '');
        await host.write(0, 1, PIECE);
        await stage.node.detach('spare1', callOf());
        await host.write(0, 2, PIECE);
        expect(await tryNbd(uris.get('spare1') ?? '', null)).toMatchObject({ ok: false });
        expect((await stage.node.status()).insecure).toBe(false);
      },
      { network: 'plain-port' },
    ));
});

function knock(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end('x'.repeat(64)));
    socket.resume();
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve());
  });
}

describe('ports of hosts', () => {
  const listen = { kind: 'range', host: '127.0.0.1', firstPort: 10, lastPort: 12, tls: null } as const;
  const record = (port: number) => ({ port, life: 1, certificates: null });
  const first = { before: 0, all: 1 };
  const ask = (
    gateways: Record<string, number>,
    inUse: readonly string[],
    busy: readonly number[] = [],
    place = first,
  ) =>
    choosePort({
      ...{ listen, place },
      gateways: Object.fromEntries(Object.entries(gateways).map(([name, port]) => [name, record(port)])),
      inUse: new Set(inUse),
      isFree: async (port) => !busy.includes(port),
    });

  it('ports - one that nobody ever had, else that of a host that is not attached, else none', async () => {
    expect(await ask({}, [])).toBe(10);
    expect(await ask({}, [], [10])).toBe(11);
    expect(await ask({ a: 10, b: 11 }, [])).toBe(12);
    expect(await ask({ a: 10, b: 11, c: 12 }, ['a', 'c'])).toBe(11);
    expect(await codeThrown(ask({ a: 10, b: 11, c: 12 }, ['a', 'b', 'c']))).toBe('STORAGE_FAILED');
  });

  it('ports - the one at the place of the volume in the configuration, whoever comes first', async () => {
    expect(await ask({}, [], [], { before: 1, all: 2 })).toBe(11);
    expect(await ask({ b: 11 }, ['b'], [], { before: 0, all: 2 })).toBe(10);
    // Where that is taken, none that is another host's by its place, as long as there are others.
    expect(await ask({}, [], [10], { before: 0, all: 2 })).toBe(12);
    expect(await ask({}, [], [10, 12], { before: 0, all: 2 })).toBe(11);
    expect(await ask({ a: 10 }, ['a'], [], { before: 7, all: 8 })).toBe(11);
  });
});
