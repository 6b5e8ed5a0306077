import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOf, messageOf } from '../../src/base/mod.ts';
import { loadConfiguration, loadConnection } from '../../src/config/mod.ts';
import { ConfigFolder, changed, drivers, GOOD } from '../support/config-folder.ts';

let config: ConfigFolder;
beforeEach(() => {
  config = new ConfigFolder();
});
afterEach(() => {
  config.remove();
});

function replaceByFolder(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

function replaceByPipe(path: string): void {
  rmSync(path);
  expect(spawnSync('mkfifo', [path]).status).toBe(0);
}

/** What is said of a configuration that cannot be used, without the name of its folder. */
async function complaint(text: string | Buffer): Promise<string> {
  try {
    await loadConfiguration(config.write(text), drivers);
  } catch (error) {
    expect(codeOf(error)).toBe('CONFIG_INVALID');
    return messageOf(error).replaceAll(`${config.folder}/`, '');
  }
  throw new Error('it was taken');
}

describe('a configuration that is right', () => {
  it('config - has every default, absolute paths and values in the units of the contract', async () => {
    const loaded = await loadConfiguration(config.write(), drivers);
    const at = (name: string): string => config.path(name);
    expect(loaded.path).toBe(at('understudy.yaml'));
    expect(loaded.state).toBe(at('state'));
    expect(loaded.api).toEqual({
      host: '127.0.0.1',
      port: 0,
      advertise: 'http://127.0.0.1:0',
      tokensFile: at('secrets/api'),
      insecure: false,
    });
    expect(loaded.tls).toBeNull();
    expect(loaded.storage).toEqual({
      folder: at('state-storage'),
      listen: { kind: 'unix' },
      insecure: false,
      backgroundRate: null,
      overlayBytesMax: 4 * 1024 ** 3,
    });
    expect([...loaded.volumes.values()]).toEqual([
      { name: 'web1', path: at('disks/web1.raw') },
      { name: 'spare1', path: '/dev/vg/spare1' },
    ]);
    expect(loaded.hosts.get('web1')).toEqual({
      name: 'web1',
      volume: 'web1',
      hostName: 'web1',
      domain: null,
      interfaces: [{ name: 'eth0', mac: '52:54:00:00:00:0a', addresses: ['10.0.0.11/24'], gateway: '10.0.0.1' }],
      address: '10.0.0.11',
      link: null,
      power: { driver: 'plug', settings: { socket: at('run/plug'), outlet: 1 } },
      agentTokenFile: at('secrets/web1'),
      expendable: false,
    });
    expect(loaded.hosts.get('spare1')).toMatchObject({ agentTokenFile: null, interfaces: [{ gateway: null }] });
    expect(loaded.services.get('wiki')).toEqual({
      name: 'wiki',
      lead: 'web1',
      pool: ['spare1'],
      mode: 'advise',
      hostsMax: 2,
      traffic: 'reads',
      director: { driver: 'spreader', settings: { target: 'x', weight: 1 } },
      port: 80,
      check: { kind: 'http', path: '/', contains: 'x', timeoutMs: 5000 },
      signals: [
        {
          name: 'probe.milliseconds',
          objective: { below: 400, fastSeconds: 10, slowSeconds: 60, share: 0.5 },
          baseline: null,
          outside: false,
          source: { kind: 'agent' },
        },
      ],
      windows: { fastSeconds: 10, slowSeconds: 60 },
      scaleOut: { cooldownSeconds: 0, atOnce: 2 },
      scaleIn: { windowSeconds: 300, headroom: 0.7, cooldownSeconds: 300 },
      timeoutsMs: { off: 60_000, boot: 300_000, drain: 120_000, call: 30_000, copy: 14_400_000 },
      acceptUnknown: [],
      portion: null,
    });
  });

  it('config - reads what may be written instead of the defaults', async () => {
    const text = changed(
      'volumes:',
      'identity: { rules: shop.yaml, kernelMount: true }\nstorage: { listen: "[::1]:10809", backgroundRate: 200M, overlayMax: 1.5G }\nvolumes:',
    )
      .replace('port: 0', 'host: "::1"\n  port: 7000\n  advertise: https://ctl.example.org:8443/')
      .replace('port: 80\n', 'port: 80\n    timeouts: { off: 1.5m, call: 900ms }\n    scaleIn: { window: 1h }\n')
      .replace('call: 900ms', 'call: 2s')
      .replace('outlet: 1', 'outlet: 1, login: { file: ../token }');
    const { api, storage, identity, services, hosts } = await loadConfiguration(config.write(text), drivers);
    expect(api).toMatchObject({ host: '::1', port: 7000, advertise: 'https://ctl.example.org:8443' });
    expect(storage).toMatchObject({
      listen: { kind: 'tcp', host: '::1', port: 10809 },
      backgroundRate: 200 * 1024 ** 2,
      overlayBytesMax: 1.5 * 1024 ** 3,
    });
    expect(identity).toEqual({ rulesFile: join(config.folder, 'shop.yaml'), kernelMount: true });
    expect(services.get('wiki')?.timeoutsMs).toMatchObject({ off: 90_000, call: 2000 });
    expect(services.get('wiki')?.scaleIn.windowSeconds).toBe(3600);
    expect(hosts.get('web1')?.power.settings.login).toEqual({ file: join(config.folder, '../token') });
  });

  it('config - a service may be judged by several signals, from agents, the director and Prometheus', async () => {
    const text = changed(
      'objective: { signal: probe.milliseconds, below: 400 }',
      `scaleOut: { cooldown: 1m, atOnce: 3 }
    signals:
      - { name: cpu.pressure, baseline: { direction: above } }
      - { name: director.checkMilliseconds, objective: { below: 300, percentile: 95 } }
      - name: database
        outside: true
        objective: { below: 50 }
        prometheus: { url: "http://10.0.0.9:9090/", query: 'wait{host="{{host}}"}', every: 30s, tokenFile: secrets/api }`,
    );
    const { services } = await loadConfiguration(config.write(text), drivers);
    expect(services.get('wiki')).toMatchObject({
      scaleOut: { cooldownSeconds: 60, atOnce: 3 },
      // The longest of what can ask for hosts; the director is looked at every other second.
      windows: { fastSeconds: 12, slowSeconds: 60 },
      signals: [
        { name: 'cpu.pressure', objective: null, baseline: { direction: 'above', learnSamples: 300 }, outside: false },
        { name: 'director.checkMilliseconds', objective: { below: 300, share: 0.05 }, source: { kind: 'director' } },
        {
          name: 'database',
          outside: true,
          source: {
            kind: 'prometheus',
            url: 'http://10.0.0.9:9090',
            query: 'wait{host="{{host}}"}',
            everySeconds: 30,
            tokenFile: join(config.folder, 'secrets/api'),
          },
        },
      ],
    });
  });

  it('config - a spare may be in two pools, and anchors may be used', async () => {
    const second = `  shop:
    lead: shop1
    pool: [spare1]
    port: 8080
    director: &spreader { driver: spreader, settings: { target: y } }
    objective: { signal: cpu.pressure, below: 40 }
  till:
    lead: till1
    pool: [spare1]
    port: 8080
    director: *spreader
    objective: { signal: cpu.pressure, below: 40 }
`;
    const host = (name: string, number: number): string => `  ${name}:
    volume: ${name}
    interfaces: [{ name: eth0, mac: "52:54:00:00:01:${number}", addresses: [10.0.1.${number}/24] }]
    power: { driver: plug, settings: { socket: x, outlet: 3 } }
`;
    const text = `${changed('services:', `${host('shop1', 21)}${host('till1', 22)}services:`)}${second}`.replace(
      'hosts:\n',
      '  shop1: { path: a }\n  till1: { path: b }\nhosts:\n',
    );
    const { services } = await loadConfiguration(config.write(text), drivers);
    expect([...services.keys()]).toEqual(['wiki', 'shop', 'till']);
    expect(services.get('till')?.director).toEqual(services.get('shop')?.director);
  });

  it('config - a client of the controller needs no more of the file than where the controller is', async () => {
    const text = changed('volume: web1', 'volume: gone').replace('driver: plug', 'driver: none');
    config.secret('web1', '', 0o644);
    expect(await loadConnection(config.write(text))).toEqual({
      state: config.path('state'),
      tls: null,
      api: {
        ...{ host: '127.0.0.1', port: 0, advertise: 'http://127.0.0.1:0', tokensFile: config.path('secrets/api') },
        insecure: false,
      },
      hosts: ['web1', 'spare1'],
      services: ['wiki'],
    });
    await expect(loadConnection(config.write(changed('  port: 0', '  port: x')))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('understudy.yaml:3:9: api.port: must be a number, not "x"'),
    });
  });
});

describe('a configuration that cannot be used', () => {
  it('config - all that is wrong is told at once, in the order of the file', async () => {
    const text = changed('port: 0', 'prot: 0')
      .replace('volume: spare1', 'volume: sparr1')
      .replace('10.0.0.12/24', '10.0.0.11/24')
      .replace('outlet: 2', 'outlet: two')
      .replace('pool: [spare1]', 'pool: [web1, spare1]')
      .replace('below: 400', 'below: -1');
    config.secret('web1', 'x', 0o640);
    expect((await complaint(text)).split('\n').map((line) => line.replace(/ .*/, ''))).toEqual([
      'understudy.yaml:3:3:',
      'understudy.yaml:14:21:',
      'understudy.yaml:16:13:',
      'understudy.yaml:18:59:',
      'understudy.yaml:19:66:',
      'understudy.yaml:23:12:',
      'understudy.yaml:27:53:',
    ]);
    await expect(loadConfiguration(config.path('understudy.yaml'), drivers)).rejects.toMatchObject({
      details: { file: config.path('understudy.yaml'), problems: 7, line: 3, column: 3 },
    });
  });

  it('config - many problems are counted, not listed', async () => {
    const hosts = Array.from({ length: 200 }, (_, index) => `  h${index}: 1\n`).join('');
    const lines = (await complaint(changed('hosts:\n', `hosts:\n${hosts}`))).split('\n');
    expect(lines).toHaveLength(51);
    expect(lines.at(-1)).toMatch(/^and [0-9]+ more$/);
  });

  it.each<[string, string | Buffer, string]>([
    ['nothing', '', '1:1: must be a group of entries, not nothing'],
    ['a list', '- a', '1:1: must be a group of entries, not a list'],
    ['not UTF-8', Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe]), '1:1: the file is not text in UTF-8 (save it as UTF-8)'],
    ['too long', 'x'.repeat(1024 * 1024 + 1), '1:1: the file is too long (at most 1048576 bytes)'],
    ['deep lists', '['.repeat(500_000), '1:17: entries lie too deep inside each other'],
    ['deep groups', '{a: '.repeat(250_000), '1:65: entries lie too deep inside each other'],
    ['deep blocks', '- '.repeat(500_000), '1:33: entries lie too deep inside each other'],
    ['far to the right', `a:\n${' '.repeat(101)}b: 1`, '2:1: entries lie too deep inside each other'],
    ['too many entries', '- a\n'.repeat(200_000), ': there are too many entries'],
    ['an alias of itself', 'state: &a [*a]', ': aliases unfold to too much'],
    [
      'aliases that multiply',
      Array.from({ length: 20 }, (_, i) => `a${i}: &a${i} [${Array(10).fill(i === 0 ? 'x' : `*a${i - 1}`)}]`).join(
        '\n',
      ),
      ': aliases unfold to too much',
    ],
    ['many errors', 'a: ]\n'.repeat(20_000), '1:4: Unexpected flow-seq-end token'],
    ['a long name', `${'a'.repeat(500_000)}: 1`, '1:1: '],
    ['a long name among others', `state: x\n"${'a'.repeat(1000)}": 1`, '2:1: there is no entry "aaaa'],
    ['NUL', 'state: "a\\0b"', ': "api" is missing'],
    ['NUL in a path', 'state: "a\\0b"', '1:8: state: has a NUL character, which no path has'],
    ['NUL in a path in a group', 'storage:\n  folder: "/a\\0b"', '2:11: storage.folder: has a NUL character'],
  ])('config - hostile content is refused quickly: %s', async (_, text, problem) => {
    const message = await complaint(text);
    expect(message).toContain(problem);
    expect(message.length).toBeLessThan(20_000);
  });

  it('config - whatever is written, the answer is a configuration or a list of problems', async () => {
    const pieces = GOOD.split(/(?<=[\s,:{}[\]])/);
    const changes = fc.array(
      fc.tuple(fc.nat(pieces.length - 1), fc.constantFrom(...pieces, '', 'null', '*a', '-1', '"', "'", '|')),
      {
        minLength: 1,
        maxLength: 4,
      },
    );
    const outcomes = new Set<string>();
    await fc.assert(
      fc.asyncProperty(changes, async (edits) => {
        const changedPieces = [...pieces];
        for (const [at, piece] of edits) changedPieces[at] = piece;
        try {
          await loadConfiguration(config.write(changedPieces.join('')), drivers);
          outcomes.add('loaded');
        } catch (error) {
          outcomes.add(String(codeOf(error)));
          expect(messageOf(error)).toMatch(/understudy\.yaml:[1-9][0-9]*:[1-9][0-9]*: ./);
        }
      }),
      { numRuns: 600 },
    );
    expect([...outcomes].sort()).toEqual(['CONFIG_INVALID', 'loaded']);
  });

  it.each<[string, () => void, RegExp]>([
    [
      'others may read it',
      () => chmodSync(config.path('secrets/web1'), 0o604),
      /by others \(mode 0604\) \(chmod 600 .*web1\)/,
    ],
    ['its group may write it', () => chmodSync(config.path('secrets/web1'), 0o620), /by others \(mode 0620\)/],
    ['it is not there', () => rmSync(config.path('secrets/web1')), /does not exist \(make it with mode 0600\)/],
    ['it is a folder', () => replaceByFolder(config.path('secrets/web1')), /is not a regular file/],
    [
      'it is no secret',
      () => writeFileSync(config.path('secrets/web1'), 'x'.repeat(65537)),
      /is too long for a secret/,
    ],
    ['somebody else owns it', () => chownSync(config.path('secrets/web1'), 12345, 0), /belongs to user 12345/],
  ])('config - a secret file is refused when %s', async (_, spoil, words) => {
    spoil();
    const message = await complaint(GOOD);
    expect(message).toMatch(words);
    expect(message).toMatch(/^understudy\.yaml:14:21: hosts\.web1\.agentTokenFile: secrets\/web1 /);
  });

  it.each<[string, (path: string) => void, RegExp]>([
    ['is not there', (path) => rmSync(path), /ENOENT/],
    ['is a folder', replaceByFolder, /is not a regular file/],
    ['is a pipe that nobody writes', replaceByPipe, /is not a regular file/],
  ])('config - a file that %s is told from one with errors', async (_, spoil, words) => {
    const path = config.write();
    spoil(path);
    await expect(loadConfiguration(path, drivers)).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE',
      message: expect.stringMatching(words),
    });
  });
});
