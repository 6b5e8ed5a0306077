// Sources that are not plain files, through the whole program.
import { createReadStream, openSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { patchwork, writeSparse } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { serveFolder } from '../support/image-web.ts';
import { SourceBench } from '../support/source-bench.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function converted(stage: Stage, raw: string, format: string): string {
  const path = stage.path(`golden.${format}`);
  stage.tool('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', format, raw, path]);
  return path;
}

// QEMU tells of the holes of an image in all these formats but vhdx.
test.concurrent.each([
  ['qcow2', 4 * MIB],
  ['vmdk', 4 * MIB],
  ['vhdx', 17 * MIB],
  ['vdi', 4 * MIB],
])('source - an image in %s is copied as what it stands for', (format, bytesCopied) =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(3, MIB, '##.....#........#'));
    writeSparse(stage.path('golden.img'), content, MIB);
    const image = converted(stage, stage.path('golden.img'), format);
    const target = await stage.copyJson('--block-size', '1M', '--verify', image, stage.target('a.img')).good();
    expect(stage.difference('a.img', content)).toBe(null);
    expect(target.bytesCopied).toBe(bytesCopied);
    expect(target.bytesCopied + target.bytesZeroed).toBe(17 * MIB);
    expect(statSync(stage.target('a.img')).blocks * 512).toBeLessThan(6 * MIB);
  }),
);

test.concurrent('source - an https server is read once for two targets, and only with --insecure when nobody vouches for it', () =>
  onStage(async (stage) => {
    const bench = new SourceBench();
    stage.defer(() => bench.clear());
    const image = stage.image('golden.img', 3 * MIB + 512);
    bench.write('golden.img', image.content);
    const { url } = await serveFolder(bench, 'https');
    const targets = [stage.target('a.img'), stage.target('b.img')];
    await expectFailure(stage.copyJson(`${url}/golden.img`, ...targets), 'SOURCE_UNREADABLE', /certificate/i);
    const copy = stage.copyJson('--insecure', '--block-size', '1M', '--verify', `${url}/golden.img`, ...targets);
    const result = await copy.result();
    expect(result).toMatchObject({ ok: true, producer: { bytesRead: image.content.length, sweeps: 1 } });
    for (const name of ['a.img', 'b.img']) expect(stage.difference(name, image.content)).toBe(null);
  }));

test.concurrent('source - an NBD server over TLS is a source and a target', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB + 512);
    const tls = {
      tcp: true,
      options: ['--tls=require', '--tls-psk=FOLDER/keys'],
      uri: (plain: string, folder: string) =>
        plain.replace('nbd://', 'nbds://alice@').concat(`?tls-psk-file=${folder}/keys`),
    };
    const keys = `alice:${'0123456789abcdef'.repeat(4)}\n`;
    const from = await stage.nbdkit({ ...tls, plugin: ['file', 'FOLDER/disk'], files: { disk: image.content, keys } });
    const to = await stage.nbdkit({ ...tls, plugin: ['memory', '3M'], files: { keys } });
    await stage.copyJson('--yes', '--verify', from.uri, to.uri).good();
    await stage.copyJson('--bytes', String(image.content.length), to.uri, stage.target('a.img')).good();
    expect(stage.difference('a.img', image.content)).toBe(null);
  }));

test.concurrent('source - --format raw copies the file itself, not what it stands for', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    const path = converted(stage, image.path, 'qcow2');
    await stage.copyJson('--format', 'raw', path, stage.target('a.qcow2')).good();
    stage.tool('cmp', 'diffutils', [path, stage.target('a.qcow2')]);
    stage.allow(await readAll(path));
  }));

async function readAll(path: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of createReadStream(path)) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

test.concurrent.each([
  ['gzip', 'gzip', ['-k', '-1']],
  ['xz', 'xz-utils', ['-k', '-0']],
  ['zstd', 'zstd', ['-k', '-q']],
  ['bzip2', 'bzip2', ['-k', '-1']],
])('source - an image compressed with %s serves a late joiner by a second sweep', (name, debianPackage, options) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB + 333);
    stage.tool(name === 'xz' ? 'xz' : name, debianPackage, [...options, image.path]);
    const suffix = { gzip: 'gz', xz: 'xz', zstd: 'zst', bzip2: 'bz2' }[name];
    const shape = ['--block-size', '64K', '--buffer', '512K'];
    const first = stage.copyJson(...shape, '--limit', '1M', `${image.path}.${suffix}`, stage.target('a'));
    await stage.sees('a third of it', ({ bytesRead }) => bytesRead > 2 * MIB);
    const second = stage.copyJson('--verify', `${image.path}.${suffix}`, stage.target('b'));
    const [a, b] = [await first.good(), await second.good()];
    expect(a.startBlock).toBe(0);
    expect(b.startBlock).toBeGreaterThan(0);
    expect((await second.result()).producer.sweeps).toBe(2);
    expect([stage.difference('a', image.content), stage.difference('b', image.content)]).toEqual([null, null]);
  }),
);

test.concurrent('source - standard input that is a pipe goes to several targets', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 5 * MIB + 77);
    const copy = stage.copy(['--json', '--quiet', '--verify', '-', stage.target('a'), stage.target('b')], {
      stdin: 'pipe',
    });
    createReadStream(image.path).pipe(copy.child.stdin as NodeJS.WritableStream);
    const result = await copy.result();
    expect(result.ok).toBe(true);
    expect(result.source.bytes).toBe(image.content.length);
    expect(result.producer).toEqual({ bytesRead: image.content.length, sweeps: 1 });
    expect([stage.difference('a', image.content), stage.difference('b', image.content)]).toEqual([null, null]);
  }));

test.concurrent('source - a compressed image on standard input', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 3 * MIB);
    stage.tool('xz', 'xz-utils', ['-k', '-0', image.path]);
    const copy = stage.copy(['--json', '--quiet', '--format', 'xz', '-', stage.target('a')], { stdin: 'pipe' });
    createReadStream(`${image.path}.xz`).pipe(copy.child.stdin as NodeJS.WritableStream);
    await copy.good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent('source - a file as standard input is as good as one named', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 3 * MIB);
    const stdin = openSync(image.path, 'r');
    await stage.copy(['--json', '--quiet', '-', stage.target('a')], { stdin }).good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent('source - a stream ends when the process that reads it is killed, and says so', () =>
  onStage(async (stage) => {
    const copy = stage.copy(['--json', '--quiet', '--block-size', '64K', '-', stage.target('a')], { stdin: 'pipe' });
    copy.child.stdin?.on('error', () => copy.child.stdin?.destroy());
    copy.child.stdin?.write(Buffer.alloc(256 * KIB, 7));
    const { producerPid } = await stage.sees('a block', ({ bytesRead }) => bytesRead > 0);
    process.kill(producerPid, 'SIGKILL');
    const result = await copy.result();
    expect(result.targets[0]?.error?.code).toBe('PRODUCER_FAILED');
    expect((await copy.ended).status).toBe(7);
    expect(stage.targets).not.toContain('a');
  }));

test.concurrent('source - a block device is a source', () =>
  onStage(async (stage) => {
    const image = stage.image('disk', 6 * MIB + 512);
    const device = stage.loop(image.path, '--read-only');
    const target = await stage.copyJson('--verify', device, stage.target('a')).good();
    expect(stage.difference('a', image.content)).toBe(null);
    expect(target.bytesCopied).toBe(6 * MIB + 512);
  }));

test.concurrent('source - SIGKILL of the producer of a qcow2 image: a new one takes over with a server of its own', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const path = converted(stage, image.path, 'qcow2');
    const copy = stage.copyJson('--limit', '1M', '--block-size', '64K', path, stage.target('a'));
    const { producerPid } = await stage.sees('a few blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 60);
    process.kill(producerPid, 'SIGKILL');
    await copy.good();
    expect(stage.difference('a', image.content)).toBe(null);
    expect(statSync(path).size).toBeGreaterThan(0);
  }));
