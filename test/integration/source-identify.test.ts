// Which storage a user means: kinds, formats by content, identities, and refusals. Real images made by the real tools.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identifySource } from '../../src/replication/source/mod.ts';
import { imageBytes, SourceBench } from '../support/source-bench.ts';

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

describe('identifySource - format', () => {
  it.each(['qcow2', 'vmdk', 'vhdx', 'vdi'])('finds %s in the content, whatever the name says', async (format) => {
    const uri = bench.convert(format, 'image.iso', imageBytes());
    expect(await identifySource({ uri })).toMatchObject({ kind: 'file', format, access: 'random' });
  });

  it('finds a vmdk that is a text about other files', async () => {
    const uri = bench.convert('vmdk', 'image.vmdk', imageBytes(), '-o', 'subformat=twoGbMaxExtentFlat');
    expect((await identifySource({ uri })).format).toBe('vmdk');
  });

  it.each(['gzip', 'xz', 'zstd', 'bzip2'])('finds %s in the content, whatever the name says', async (format) => {
    const uri = bench.write('image.img', bench.compress(format, imageBytes()));
    expect(await identifySource({ uri })).toMatchObject({ format, access: 'rewind' });
  });

  it.each(['image.qcow2', 'image.xz', 'image.vmdk.gz'])('takes raw bytes named %s for raw', async (name) => {
    const uri = bench.write(name, imageBytes());
    expect(await identifySource({ uri })).toMatchObject({ format: 'raw', access: 'random' });
  });

  it.each(['Q', 'QFI', 'BZh9 is how this disk begins', 'KDM'])(
    'takes a file that begins with %j for raw',
    async (text) => {
      expect((await identifySource({ uri: bench.write('image', text) })).format).toBe('raw');
    },
  );

  it('takes the format that it is told, and refuses one that it does not know', async () => {
    const uri = bench.convert('qcow2', 'image', imageBytes());
    expect((await identifySource({ uri, format: 'raw' })).format).toBe('raw');
    await expect(identifySource({ uri, format: 'parallels' })).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
  });

  it('never looks into a block device, whose first bytes belong to its user', async () => {
    const image = bench.convert('qcow2', 'image', imageBytes());
    const device = bench.run('losetup', '--find', '--show', '--read-only', image).trim();
    bench.later(() => {
      bench.run('losetup', '--detach', device);
    });
    const source = await identifySource({ uri: device });
    const minor = device.replace('/dev/loop', '');
    expect(source).toMatchObject({ kind: 'block', format: 'raw', identity: `block:7:${minor}+raw`, fingerprint: '' });
    symlinkSync(device, bench.path('disk'));
    expect((await identifySource({ uri: bench.path('disk') })).identity).toBe(source.identity);
    expect((await identifySource({ uri: device, format: 'qcow2' })).identity).toBe(`block:7:${minor}+qcow2`);
  });
});

describe('identifySource - identity', () => {
  it('is one for all names of a file, another for each way to read it', async () => {
    const uri = bench.write('image', imageBytes());
    symlinkSync('image', bench.path('link'));
    const names = [uri, bench.path('link'), `${bench.folder}/./image`, `file://${uri}`];
    const sources = await Promise.all(names.map((name) => identifySource({ uri: name })));
    expect(new Set(sources.map(({ identity }) => identity)).size).toBe(1);
    expect(sources.map((source) => source.uri)).toEqual(names);
    const first = sources[0];
    expect(first?.identity).toMatch(/^file:\d+:\d+\+raw$/);
    expect(`${first?.storage}+raw`).toBe(first?.identity);
    expect((await identifySource({ uri, format: 'gzip' })).identity).not.toBe(first?.identity);
  });

  it('has a fingerprint that changes with the content', async () => {
    const uri = bench.write('image', imageBytes());
    const { fingerprint } = await identifySource({ uri });
    expect((await identifySource({ uri })).fingerprint).toBe(fingerprint);
    writeFileSync(uri, imageBytes().subarray(0, 1000));
    expect((await identifySource({ uri })).fingerprint).not.toBe(fingerprint);
  });

  it('normalises URLs, without credentials, and keeps apart who does not check certificates', async () => {
    const uri = 'HTTPS://user:secret@Example.com:443/a%20b/../image.qcow2#part';
    const source = await identifySource({ uri });
    expect(source).toMatchObject({ kind: 'http', format: 'auto', storage: 'https://example.com/image.qcow2' });
    expect(source.identity).toBe('https://example.com/image.qcow2+auto');
    expect(source.uri).toBe('https://example.com/image.qcow2');
    const trusting = await identifySource({ uri, cacert: '/etc/own.pem' });
    expect(trusting.identity).toBe('https://example.com/image.qcow2+auto+cacert=/etc/own.pem');
    const careless = await identifySource({ uri, insecure: true, format: 'qcow2' });
    expect(careless.identity).toBe('https://example.com/image.qcow2+qcow2+insecure');
  });

  it('takes NBD exports for raw unless told otherwise', async () => {
    const source = await identifySource({ uri: 'nbd://LOCALHOST/disk' });
    expect(source).toMatchObject({ kind: 'nbd', format: 'raw', storage: 'nbd://localhost:10809/disk' });
    expect((await identifySource({ uri: 'nbd://localhost/disk', format: 'qcow2' })).format).toBe('qcow2');
  });
});

describe('identifySource - refusals', () => {
  it.each([
    ['SOURCE_NOT_FOUND', 'missing'],
    ['SOURCE_NOT_FOUND', 'file/below'],
    ['SOURCE_NOT_FOUND', 'dangling'],
    ['SOURCE_KIND', 'folder'],
    ['SOURCE_KIND', 'pipe'],
    ['SOURCE_KIND', 'socket'],
    ['SOURCE_EMPTY', 'empty'],
  ])('answers %s for %s', async (code, name) => {
    bench.write('file', 'x');
    bench.write('empty', '');
    mkdirSync(bench.path('folder'));
    symlinkSync('nothing', bench.path('dangling'));
    bench.run('mkfifo', 'pipe');
    const server = createServer().listen(bench.path('socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    bench.later(() => new Promise((resolve) => server.close(() => resolve())));
    await expect(identifySource({ uri: bench.path(name) })).rejects.toMatchObject({ code });
  });

  it('answers SOURCE_KIND for a character device', async () => {
    await expect(identifySource({ uri: '/dev/zero' })).rejects.toMatchObject({ code: 'SOURCE_KIND' });
  });

  it('answers SOURCE_UNREADABLE for a file that this user may not read', async () => {
    const uri = bench.write('image', imageBytes());
    bench.run('chmod', '0600', uri);
    bench.run('chmod', '0755', bench.folder);
    const { geteuid, seteuid } = process;
    if (geteuid?.() !== 0) {
      bench.run('chmod', '0000', uri);
      await expect(identifySource({ uri })).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE' });
      return;
    }
    seteuid?.(65_534);
    try {
      await expect(identifySource({ uri })).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE' });
    } finally {
      seteuid?.(0);
    }
  });

  it('answers USAGE for what is no URI that it knows', async () => {
    for (const uri of ['ftp://host/image', 'https://', 'nbd+unix:///x']) {
      await expect(identifySource({ uri })).rejects.toMatchObject({ code: 'USAGE' });
    }
  });

  it('answers FORMAT_UNKNOWN for a compressed image behind an NBD server', async () => {
    const source = identifySource({ uri: 'nbd://host/', format: 'xz' });
    await expect(source).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
  });

  it('leaves no descriptor open', async () => {
    const uri = bench.write('image', imageBytes());
    const { readdirSync } = await import('node:fs');
    await identifySource({ uri });
    const before = readdirSync('/proc/self/fd').length;
    await identifySource({ uri });
    rmSync(uri);
    await identifySource({ uri }).catch(() => undefined);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
