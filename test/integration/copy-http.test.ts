// Sources behind HTTP servers, through the whole program: what is copied, what is refused, and in which words.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { patchwork } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { type HostilePlan, type HostileServer, startHostile } from '../support/hostile-web.ts';
import { serveFolder } from '../support/image-web.ts';
import { SourceBench } from '../support/source-bench.ts';

const MIB = 1024 * 1024;

const GOOD: HostilePlan = {
  ranges: 'given',
  validator: 'strong',
  framing: 'length',
  coded: false,
  once: false,
  mischief: [],
};

async function serve(stage: Stage, plan: Partial<HostilePlan>, first: Buffer, second = first): Promise<HostileServer> {
  const server = await startHostile({ ...GOOD, ...plan }, first, second);
  stage.defer(() => server.close());
  return server;
}

test('http - a server that announces ranges and gives the whole file is read as a stream', () =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(1, MIB, '#.#.####.#'));
    const server = await serve(stage, { ranges: 'lied' }, content);
    const targets = [stage.target('a.img'), stage.target('b.img')];
    const result = await stage
      .copyJson('--verify', '--block-size', '1M', `${server.url}/disk.img`, ...targets)
      .result();
    expect(result.targets.map(({ error }) => error)).toEqual([null, null]);
    expect(result.producer.sweeps).toBe(1);
    for (const name of ['a.img', 'b.img']) expect(stage.difference(name, content)).toBe(null);
    expect(server.requests).toBe(1);
  }));

test.each<[string, Partial<HostilePlan>]>([
  ['ranges', { mischief: [{ kind: 'swap', request: 4, at: 0 }] }],
  [
    'a stream that broke',
    {
      ranges: 'none',
      mischief: [
        { kind: 'drop', request: 0, at: 0.5 },
        { kind: 'swap', request: 1, at: 0 },
      ],
    },
  ],
  [
    'a stream that broke, without validators',
    {
      ranges: 'none',
      validator: 'none',
      mischief: [
        { kind: 'drop', request: 0, at: 0.5 },
        { kind: 'swap', request: 1, at: 0 },
      ],
    },
  ],
])('http - a file that is replaced on the server is no mixture: %s', (_what, plan) =>
  onStage(async (stage) => {
    const server = await serve(stage, plan, patchwork(1, MIB, '##########'), patchwork(2, MIB, '##########'));
    const url = `${server.url}/disk.img`;
    const copy = stage.copyJson('--block-size', '1M', url, stage.target('a.img'));
    await expectFailure(copy, 'SOURCE_CHANGED', url);
    expect(stage.targets).not.toContain('a.img');
  }),
);

test.each<['ranges' | 'no ranges', Partial<HostilePlan>]>([
  ['ranges', {}],
  ['no ranges', { ranges: 'none' }],
])('http - --expect takes the digest of the compressed file as it was published: %s', (_what, plan) =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(1, MIB, '##.#####.#'));
    const packed = gzipSync(content);
    const server = await serve(stage, plan, packed);
    const url = `${server.url}/disk.img.gz`;
    const args = ['--block-size', '1M', '--expect', `sha256:${createHash('sha256').update(packed).digest('hex')}`];
    await stage.copyJson(...args, url, stage.target('a.img')).good();
    expect(stage.difference('a.img', content)).toBe(null);
    const wrong = ['--block-size', '1M', '--expect', `sha256:${'0'.repeat(64)}`];
    await expectFailure(
      stage.copyJson(...wrong, url, stage.target('b.img')),
      'DIGEST_MISMATCH',
      /the file .* has sha256/,
    );
    expect(stage.targets).toEqual(['a.img']);
  }),
);

test('http - a compressed image comes from a server with and without ranges, also after breaks', () =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(3, MIB, '##.##.##'));
    const stored = gzipSync(content, { level: 1 });
    const mischief = [
      { kind: 'drop', request: 1, at: 0.5 },
      { kind: 'reset', request: 3, at: 0.2 },
    ] as const;
    for (const plan of [
      {},
      { mischief },
      { ranges: 'none', mischief },
      { ranges: 'none', framing: 'chunks' },
    ] as const) {
      const server = await serve(stage, plan, stored);
      await stage.copyJson('--yes', '--block-size', '1M', `${server.url}/disk.img.gz`, stage.target('a.img')).good();
      expect(stage.difference('a.img', content)).toBe(null);
    }
  }));

test('http - who joins a stream late makes it read once more, and the blocks have to be the same', () =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(4, MIB, '################'));
    const server = await serve(stage, { ranges: 'none' }, content);
    const url = `${server.url}/disk.img`;
    const args = ['--block-size', '1M', '--buffer', '4M', '--on-slow', 'pace'];
    const first = stage.copyJson(...args, '--limit', '4M', url, stage.target('a.img'));
    await stage.sees('some blocks have gone by', (copy) => copy.bytesRead > 6 * MIB);
    const second = stage.copyJson(...args, url, stage.target('b.img'));
    await first.good();
    await second.good();
    for (const name of ['a.img', 'b.img']) expect(stage.difference(name, content)).toBe(null);
    expect(server.requests).toBe(2);
  }));

test('http - a joiner that missed blocks of what is given once is refused, and the first target is not', () =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(4, MIB, '################'));
    const server = await serve(stage, { ranges: 'none', once: true }, content);
    const url = `${server.url}/disk.img`;
    const args = ['--block-size', '1M', '--buffer', '4M', '--on-slow', 'pace'];
    const first = stage.copyJson(...args, '--limit', '4M', url, stage.target('a.img'));
    await stage.sees('some blocks have gone by', (copy) => copy.bytesRead > 6 * MIB);
    const second = stage.copyJson(...args, url, stage.target('b.img'));
    await expectFailure(second, 'SOURCE_NOT_REWINDABLE', /can be read only once/);
    await first.good();
    expect(stage.difference('a.img', content)).toBe(null);
  }));

test('http - a content coding is taken as one more layer, and refused where another format is named', () =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(5, MIB, '##.##'));
    const raw = await serve(stage, { coded: true }, content);
    await stage.copyJson(`${raw.url}/disk.img`, stage.target('a.img')).good();
    expect(stage.difference('a.img', content)).toBe(null);
    const twice = await serve(stage, { coded: true }, gzipSync(content, { level: 1 }));
    const target = stage.target('b.img');
    await stage.copyJson(`${twice.url}/disk.img.gz`, target).good();
    expect(stage.difference('b.img', content)).toBe(null);
    const forced = stage.copyJson('--format', 'raw', `${raw.url}/disk.img`, stage.target('c.img'));
    await expectFailure(forced, 'FORMAT_UNKNOWN', /coding \(gzip\).*leave --format out/);
  }));

test('http - a web page in place of the image is refused', () =>
  onStage(async (stage) => {
    const server = await serve(stage, { mischief: [{ kind: 'page', request: 0, at: 0 }] }, patchwork(1, MIB, '##'));
    const copy = stage.copyJson(`${server.url}/disk.img`, stage.target('a.img'));
    await expectFailure(copy, 'FORMAT_UNKNOWN', /web page|HTML/);
  }));

test('http - partitions and file systems are found where there are ranges, and refused by name where there are none', () =>
  onStage(async (stage) => {
    const path = stage.path('disk.img');
    const { content } = stage.write('disk.img', Buffer.alloc(24 * MIB));
    stage.tool('mke2fs', 'e2fsprogs', ['-q', '-F', '-t', 'ext4', path, '16M']);
    const image = Buffer.from((await import('node:fs')).readFileSync(path));
    content.fill(0);
    const server = await serve(stage, {}, image);
    const target = await stage.copyJson('--extent', 'image', `${server.url}/disk.img`, stage.target('a.img')).good();
    expect(target.bytesCopied + target.bytesZeroed).toBe(16 * MIB);
    stage.allow(image.subarray(0, 16 * MIB));
    expect(stage.difference('a.img', image.subarray(0, 16 * MIB))).toBe(null);
    const stream = await serve(stage, { ranges: 'none' }, image);
    const refused = stage.copyJson('--extent', 'image', `${stream.url}/disk.img`, stage.target('b.img'));
    await expectFailure(refused, 'EXTENT_UNSUPPORTED', `${stream.url}/disk.img`);
  }));

test('http - a password in the URL is shown nowhere, and --cacert names whom to trust', () =>
  onStage(async (stage) => {
    const bench = new SourceBench();
    stage.defer(() => bench.clear());
    const image = stage.image('disk.img', 3 * MIB);
    bench.write('disk.img', image.content);
    const { url } = await serveFolder(bench, 'https', { user: 'anna', password: 'hush-hush' });
    const secret = url.replace('://', '://anna:hush-hush@');
    const cacert = ['--cacert', bench.path('cert.pem')];
    const copy = stage.copyJson(
      ...cacert,
      '--limit',
      '1M',
      '--block-size',
      '1M',
      `${secret}/disk.img`,
      stage.target('a.img'),
    );
    const seen = await stage.sees('it runs', (running) => running.bytesRead > 0);
    expect(JSON.stringify(seen)).not.toContain('hush');
    await copy.good();
    expect(copy.stdout + copy.stderr).not.toContain('hush');
    const wrong = stage.copyJson(
      ...cacert,
      `${url.replace('://', '://anna:hush-no@')}/disk.img`,
      stage.target('b.img'),
    );
    await expectFailure(wrong, 'SOURCE_UNREADABLE', `${url}/disk.img: the server answers 401`);
    expect(wrong.stdout + wrong.stderr + stage.log).not.toContain('hush');
  }));

// QEMU reads whole sectors, and waits for ever for what an export lacks of its last one.
test.each(['qcow2', 'vmdk'])('http - a %s whose length is no multiple of a sector is read to its end', (format) =>
  onStage(async (stage) => {
    const content = stage
      .image('disk.img', 2 * MIB)
      .content.fill(0, MIB, MIB + 700_000)
      .fill(0, 2 * MIB - 5000);
    stage.write('disk.img', content);
    const packed = stage.path(`disk.${format}`);
    const options = format === 'qcow2' ? ['-c'] : [];
    stage.tool('qemu-img', 'qemu-utils', ['convert', ...options, '-O', format, stage.path('disk.img'), packed]);
    const whole = readFileSync(packed);
    for (const [index, bytes] of [whole.subarray(0, -1), Buffer.concat([whole, Buffer.alloc(1)])].entries()) {
      const server = await serve(stage, {}, bytes);
      await stage.copyJson(`${server.url}/disk`, stage.target(`${index}`)).good();
      expect(stage.difference(`${index}`, content)).toBe(null);
    }
  }),
);
