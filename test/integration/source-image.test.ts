// Images that need QEMU, from files and from servers: every byte through a private qemu-nbd and a real worker thread;
// which
// damage is found before the first block; what an image may name; and that nothing outlives the producer.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { present } from '../../src/base/mod.ts';
import { identifySource, prepareSource } from '../../src/replication/source/mod.ts';
import { patience } from '../rig/patience.ts';
import { serveFolder } from '../support/image-web.ts';
import { imageBytes, SourceBench } from '../support/source-bench.ts';
import { compiled } from '../support/source-client.ts';

const content = imageBytes();

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

/** Every byte read equals the content, through a device that goes by the name of the image. */
async function expectContent(uri: string, options: { format?: string; insecure?: boolean } = {}): Promise<void> {
  const { client, source } = await bench.open({ uri, ...options });
  const { bytes, code, message } = await client.readAll();
  expect(message).toBe('');
  expect(code).toBe(null);
  expect(content.equals(bytes)).toBe(true);
  expect(client.info).toMatchObject({ access: 'random', sizeBytes: content.length, identity: source.storage });
}

async function preparing(uri: string, options: { format?: string; insecure?: boolean } = {}): Promise<unknown> {
  const prepared = await prepareSource(await identifySource({ uri, ...options }));
  bench.later(() => prepared.close());
  return prepared;
}

describe('image source - content', () => {
  it.each([
    ['qcow2', []],
    ['qcow2', ['-c']],
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vmdk', ['-o', 'subformat=twoGbMaxExtentFlat']],
    ['vmdk', ['-o', 'subformat=twoGbMaxExtentSparse']],
    ['vhdx', []],
    ['vdi', []],
    ['vdi', ['-o', 'static=on']],
  ])('reads every byte of %s %j', async (format, options) => {
    await expectContent(bench.convert(format, 'image', content, ...options));
  });

  it('reads a raw file and a block device', async () => {
    const uri = bench.write('image', content);
    await expectContent(uri);
    const device = bench.run('losetup', '--find', '--show', '--read-only', uri).trim();
    bench.later(() => {
      bench.run('losetup', '--detach', device);
    });
    await expectContent(device);
  });

  it('reads a qcow2 that lies on a block device or behind an NBD server, when told so', async () => {
    const image = bench.convert('qcow2', 'image', content);
    truncateSync(image, Math.ceil(bench.bytes('image').length / 4096) * 4096);
    const device = bench.run('losetup', '--find', '--show', '--read-only', image).trim();
    bench.later(() => {
      bench.run('losetup', '--detach', device);
    });
    await expectContent(device, { format: 'qcow2' });
    serveNbd('--read-only', '--persistent', '--format=raw', image);
    await expectContent(`nbd+unix:///?socket=${bench.path('nbd')}`, { format: 'qcow2' });
  });

  it('is open to all reads at once, and its fingerprint tells when a file of the chain changes', async () => {
    bench.convert('qcow2', 'base', content);
    bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', 'over');
    const { client } = await bench.open({ uri: bench.path('over') });
    bench.run('touch', '-d', '2001-01-01', 'base');
    const second = await bench.open({ uri: bench.path('over') });
    expect(client.fingerprint.split(',').length).toBe(2);
    expect(second.client.fingerprint).not.toBe(client.fingerprint);
  });
});

/** A qemu-nbd of the test's own on the socket `nbd`, listening when this returns; ended with the test. */
function serveNbd(...args: readonly string[]): void {
  bench.run('qemu-nbd', '--fork', `--pid-file=${bench.path('nbd.pid')}`, `--socket=${bench.path('nbd')}`, ...args);
  const pid = Number(bench.bytes('nbd.pid').toString());
  bench.later(() => {
    process.kill(pid, 'SIGTERM');
  });
}

/** Overwrites eight bytes, the way qcow2 writes numbers. */
function poke(bytes: Buffer, offset: number, value: bigint): void {
  bytes.writeBigUInt64BE(value, offset);
}

describe('image source - damage', () => {
  /** Offsets of qcow2's tables (QEMU, docs/interop/qcow2.txt): the header has that of L1 at 40, L1 those of L2. */
  const L1_AT = 40;
  const ADDRESS = 0x00ff_ffff_ffff_fe00n;

  it.each<[string, (bytes: Buffer) => void]>([
    ['an impossible header', (bytes) => bytes.writeUInt32BE(3, 20)],
    ['an L1 entry that leads nowhere', (bytes) => poke(bytes, Number(bytes.readBigUInt64BE(L1_AT)), 1n << 40n)],
    [
      'an L2 table of garbage',
      (bytes) => {
        const l2 = bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(L1_AT))) & ADDRESS;
        bytes.fill(0x5a, Number(l2), Number(l2) + 64);
      },
    ],
    [
      'two guest clusters on one of the image',
      (bytes) => {
        const l2 = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(L1_AT))) & ADDRESS);
        bytes.copy(bytes, l2, l2 + 8, l2 + 16);
      },
    ],
  ])('answers SOURCE_CORRUPT for a qcow2 with %s', async (_what, damage) => {
    const uri = bench.convert('qcow2', 'image', content);
    const bytes = bench.bytes('image');
    damage(bytes);
    bench.write('image', bytes);
    await expect(preparing(uri)).rejects.toMatchObject({ code: 'SOURCE_CORRUPT' });
  });

  it.each(['qcow2', 'vmdk', 'vhdx', 'vdi'])('answers SOURCE_CORRUPT for a %s that is cut off', async (format) => {
    const uri = bench.convert(format, 'image', content);
    // Some of the last cluster that holds data goes: vdi has clusters of 1 MiB, vhdx ends with whole blocks of 8 MiB.
    const cut = { vhdx: 6 * 1024 * 1024, vdi: 1280 * 1024 }[format] ?? 256 * 1024;
    truncateSync(uri, bench.bytes('image').length - cut);
    await expect(preparing(uri)).rejects.toMatchObject({ code: 'SOURCE_CORRUPT' });
  });

  it('answers SOURCE_CORRUPT for a vmdk whose flat extent is cut off', async () => {
    const uri = bench.convert('vmdk', 'image.vmdk', content, '-o', 'subformat=twoGbMaxExtentFlat');
    truncateSync(bench.path('image-f001.vmdk'), content.length - 512);
    await expect(preparing(uri)).rejects.toMatchObject({ code: 'SOURCE_CORRUPT' });
  });

  it('answers FORMAT_UNKNOWN for what is not of the format that the user names', async () => {
    const uri = bench.write('image', content);
    await expect(preparing(uri, { format: 'qcow2' })).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
  });

  it('answers SOURCE_UNAVAILABLE for an image that a virtual machine is writing', async () => {
    const uri = bench.convert('qcow2', 'image', content);
    serveNbd('--format=qcow2', uri);
    await expect(preparing(uri)).rejects.toMatchObject({ code: 'SOURCE_UNAVAILABLE' });
  });

  it('answers SOURCE_EMPTY for an image of no bytes', async () => {
    bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', 'image', '0');
    await expect(preparing(bench.path('image'))).rejects.toMatchObject({ code: 'SOURCE_EMPTY' });
  });

  it('says which package is missing', async () => {
    const { PATH } = process.env;
    const uri = bench.convert('qcow2', 'image', content);
    process.env.PATH = '/nonexistent';
    try {
      await expect(preparing(uri)).rejects.toMatchObject({ code: 'TOOL_MISSING' });
    } finally {
      process.env.PATH = PATH;
    }
  });
});

describe('image source - files that an image names', () => {
  function overlay(backing: string, format: string | null): string {
    const size = String(content.length);
    bench.run('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-b', backing, '-F', format ?? 'raw', 'over', size);
    if (format !== null) return bench.path('over');
    // qemu-img makes no image without the format of its backing file any more; older ones are around. The header
    // extension that holds it (QEMU, docs/interop/qcow2.txt) becomes one that nobody knows.
    const bytes = bench.bytes('over');
    bytes.writeUInt32BE(0x1234_5678, bytes.indexOf(Buffer.from('e2792aca', 'hex')));
    return bench.write('over', bytes);
  }

  it('reads through backing files in the same folder, formats said', async () => {
    bench.write('base', content);
    await expectContent(overlay('base', 'raw'));
    bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'over', '-F', 'qcow2', 'top');
    symlinkSync('top', bench.path('link'));
    await expectContent(bench.path('link'));
  });

  it('reads through an external data file in the same folder', async () => {
    bench.write('data', content);
    const options = 'data_file=data,data_file_raw=on,preallocation=metadata';
    bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', options, 'image', String(content.length));
    bench.write('data', content);
    await expectContent(bench.path('image'));
  });

  it.each([
    ['a file of another folder', '/etc/passwd', 'raw'],
    ['a link out of the folder', 'escape', 'raw'],
    ['a path out of the folder', '../../etc/passwd', 'raw'],
    ['a block device', '/dev/loop0', 'raw'],
    ['a server', 'nbd://localhost/disk', 'raw'],
    ['a graph of its own', 'json:{"driver":"file","filename":"/etc/passwd"}', 'raw'],
    ['a file that is not there', 'missing', 'raw'],
    ['a file of a format not said', 'base', null],
    ['a file of a format that is no image', 'base', 'luks'],
  ])('answers SOURCE_UNREADABLE when it names %s', async (_what, backing, format) => {
    bench.write('base', content);
    symlinkSync('/etc/passwd', bench.path('escape'));
    await expect(preparing(overlay(backing, format))).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE' });
  });

  it('answers SOURCE_UNREADABLE when the chain is a circle', async () => {
    overlay('circle', 'qcow2');
    bench.run('mv', 'over', 'circle');
    await expect(preparing(bench.path('circle'))).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE' });
  });

  it('answers SOURCE_UNREADABLE for a vmdk whose extent is elsewhere', async () => {
    const uri = bench.convert('vmdk', 'image.vmdk', content, '-o', 'subformat=twoGbMaxExtentFlat');
    mkdirSync(bench.path('images'));
    bench.run('mv', 'image.vmdk', 'images');
    const text = bench.bytes('images/image.vmdk').toString('latin1');
    bench.write('images/image.vmdk', text.replace('image-f001.vmdk', `${bench.folder}/image-f001.vmdk`));
    expect(existsSync(uri)).toBe(false);
    const preparation = preparing(bench.path('images/image.vmdk'));
    await expect(preparation).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE' });
  });
});

describe('image source - http and https', () => {
  it('refuses a certificate that nobody vouches for, and reads with insecure', async () => {
    bench.convert('qcow2', 'image', content);
    const { url } = await serveFolder(bench, 'https');
    const error: unknown = await preparing(`${url}/image`).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'SOURCE_UNREADABLE' });
    expect((error as Error).message).toMatch(/certificate.*--insecure/);
    await expectContent(`${url}/image`, { insecure: true });
  });

  it.each(['raw', 'qcow2', 'vmdk', 'vhdx', 'vdi'])(
    'finds %s in what the server sends, and reads every byte',
    async (format) => {
      bench.convert(format, 'image', content);
      const { url } = await serveFolder(bench, 'http');
      await expectContent(`${url}/image`);
    },
  );

  it.each(['qcow2', 'vmdk', 'vhdx', 'vdi'])(
    'answers SOURCE_CORRUPT for a %s that is cut off on the server',
    async (format) => {
      const path = bench.convert(format, 'image', content);
      const cut = { vhdx: 6 * 1024 * 1024, vdi: 1280 * 1024 }[format] ?? 256 * 1024;
      truncateSync(path, bench.bytes('image').length - cut);
      const { url } = await serveFolder(bench, 'http');
      await expect(preparing(`${url}/image`)).rejects.toMatchObject({ code: 'SOURCE_CORRUPT' });
    },
  );

  it('gives user and password, and shows neither', async () => {
    bench.write('image', content);
    const { url } = await serveFolder(bench, 'http', { user: 'anna', password: 'p@ss,word' });
    await expect(preparing(`${url}/image`)).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE' });
    const { prepared, client } = await bench.open({ uri: `${url.replace('://', '://anna:p%40ss%2Cword@')}/image` });
    expect(content.equals((await client.readAll()).bytes)).toBe(true);
    expect(JSON.stringify(prepared.descriptor)).not.toContain('ss,word');
  });

  it.each([
    ['SOURCE_NOT_FOUND', 'missing'],
    ['FORMAT_UNKNOWN', 'whole/over'],
    ['SOURCE_UNREADABLE', 'over'],
  ])('answers %s for /%s', async (code, name) => {
    bench.write('image', content);
    bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'image', '-F', 'raw', 'over');
    const { url } = await serveFolder(bench, 'http');
    await expect(preparing(`${url}/${name}`)).rejects.toMatchObject({ code });
  });

  it('answers SOURCE_UNAVAILABLE when nobody listens', async () => {
    const { url, close } = await serveFolder(bench, 'http');
    await close();
    await expect(preparing(`${url}/image`)).rejects.toMatchObject({ code: 'SOURCE_UNAVAILABLE' });
  });
});

describe('image source - what is left behind', () => {
  it('is nothing, whether it could be read or not', async () => {
    const { TMPDIR } = process.env;
    mkdirSync(bench.path('tmp'));
    process.env.TMPDIR = bench.path('tmp');
    try {
      const prepared = await prepareSource(await identifySource({ uri: bench.convert('qcow2', 'image', content) }));
      // Already now: the server's socket has no name any more.
      expect(readdirSync(bench.path('tmp'))).toEqual([]);
      const pid = present(prepared.helperPids[0], 'pid of qemu-nbd');
      expect(existsSync(`/proc/${pid}`)).toBe(true);
      await prepared.close();
      await prepared.close();
      expect(existsSync(`/proc/${pid}`)).toBe(false);
      truncateSync(bench.path('image'), 300_000);
      await expect(preparing(bench.path('image'))).rejects.toMatchObject({ code: 'SOURCE_CORRUPT' });
      expect(readdirSync(bench.path('tmp'))).toEqual([]);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    }
  });

  it.each(['qcow2', 'gzip'])('is nothing when a process that reads %s is killed', async (format) => {
    mkdirSync(bench.path('tmp'));
    const uri = format === 'qcow2' ? bench.convert(format, 'image', content) : bench.path('image');
    if (format === 'gzip') bench.write('image', bench.compress('gzip', content));
    const task = JSON.stringify({ source: { uri }, offsets: [0], hold: true });
    const child = spawn(process.execPath, [compiled('source-process'), task], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: bench.path('tmp') },
    });
    const over = once(child, 'exit');
    const [line] = (await once(present(child.stdout, 'output').setEncoding('utf8'), 'data')) as [string];
    // The line is longer than a pipe gives at once; this part of it comes first.
    const pid = Number(/^{"code":null,.*"helperPids":\[(\d+)\]/.exec(line)?.[1]);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    child.kill('SIGKILL');
    await over;
    await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: patience(10_000) });
    expect(readdirSync(bench.path('tmp'))).toEqual([]);
    rmSync(bench.path('tmp'), { recursive: true });
  });
});
