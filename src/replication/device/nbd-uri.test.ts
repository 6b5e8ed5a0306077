import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../base/mod.ts';
import { canonicalNbdUri, isNbdUri, reachableNbdUri } from './nbd-uri.ts';

function codeFor(uri: string): string | null {
  try {
    canonicalNbdUri(uri);
  } catch (error) {
    return codeOf(error);
  }
  return null;
}

describe('canonical NBD URI', () => {
  it.each([
    ['nbd://Example.ORG', 'nbd://example.org:10809/'],
    ['NBD://EXAMPLE.org', 'nbd://example.org:10809/'],
    ['nbd://example.org/', 'nbd://example.org:10809/'],
    ['nbd://example.org:10809/disk', 'nbd://example.org:10809/disk'],
    ['nbd://example.org:010810/disk', 'nbd://example.org:10810/disk'],
    ['nbd://host/with%20space/b', 'nbd://host:10809/with%20space/b'],
    ['nbd://host/%64isk', 'nbd://host:10809/disk'],
    ['nbd://host/../disk', 'nbd://host:10809/../disk'],
    ['nbd://host//disk', 'nbd://host:10809//disk'],
    ['nbd:///disk', 'nbd://localhost:10809/disk'],
    ['nbd://[::1]:99/', 'nbd://[::1]:99/'],
    ['nbd://[FE80::1]/', 'nbd://[fe80::1]:10809/'],
    ['nbds://alice@host/disk?tls-psk-file=/etc/psk', 'nbds://host:10809/disk'],
    ['nbd+vsock://3/disk', 'nbd+vsock://3:10809/disk'],
    ['nbd+unix:///?socket=/nowhere/a+b', 'nbd+unix:///?socket=/nowhere/a%2Bb'],
    ['nbd+unix:///x?socket=%2Fnowhere%2Fs', 'nbd+unix:///x?socket=/nowhere/s'],
  ])('spells %s as %s', (uri, canonical) => {
    expect(canonicalNbdUri(uri)).toBe(canonical);
    expect(canonicalNbdUri(canonical)).toBe(canonical);
  });

  it.each([
    ['NBD://Host/Disk', 'nbd://Host/Disk'],
    ['nbd://:99/disk', 'nbd://localhost:99/disk'],
    ['nbds://alice@:99/', 'nbds://alice@localhost:99/'],
    ['nbd:///a:1', 'nbd:///a:1'],
    ['nbds://alice@host/?tls-psk-file=psk', 'nbds://alice@host/?tls-psk-file=psk'],
    ['nbd+unix:///?socket=/a/../b', 'nbd+unix:///?socket=/a/../b'],
    ['nbd+UNIX:///x?socket=a%20b', `nbd+unix:///x?socket=${resolve('a%20b')}`],
    ['nbds+unix:///?tls-hostname=h&socket=./s', `nbds+unix:///?tls-hostname=h&socket=${resolve('s')}`],
  ])('turns %s into what libnbd reads from any folder', (uri, reachable) => {
    expect(isNbdUri(uri)).toBe(true);
    expect(reachableNbdUri(uri)).toBe(reachable);
  });

  it('follows links to a socket, so that two names of one server are equal', () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-uri-'));
    try {
      const real = join(realpathSync(folder), 'real');
      writeFileSync(real, '');
      symlinkSync(real, join(folder, 'link'));
      expect(canonicalNbdUri(`nbd+unix:///?socket=${folder}/link`)).toBe(`nbd+unix:///?socket=${real}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    'golden.img',
    'http://host/disk',
    'nbdx://host/',
    'nbd:host',
    'nbd://ho st/',
    'nbd://host:port/',
    'nbd://host:70000/',
    'nbd://host/%zz',
    'nbd://host/a#b',
    'nbd://host/?socket=/s',
    'nbd+unix:///',
    'nbd+unix:///disk?socket=',
  ])('refuses %s as a usage error', (uri) => {
    expect(codeFor(uri)).toBe('USAGE');
  });
});
