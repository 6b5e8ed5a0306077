// Compressed images and standard input, read through a real worker thread: every byte, from the start again, and every
// way in which such a stream can turn out to be less than it promised.
import { type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assert, present } from '../../src/base/mod.ts';
import { identifySource, prepareSource } from '../../src/replication/source/mod.ts';
import { imageBytes, SourceBench } from '../support/source-bench.ts';
import { compiled } from '../support/source-client.ts';
import type { ProcessReport, ProcessTask } from '../support/source-process.ts';

const FORMATS = ['gzip', 'xz', 'zstd', 'bzip2'];
const MIB = 1024 * 1024;
const content = imageBytes();

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

describe.each(FORMATS)('compressed source - %s', (format) => {
  it('reads every byte, several members as one', async () => {
    const parts = [content.subarray(0, 1_234_567), content.subarray(1_234_567)];
    const uri = bench.write('image', Buffer.concat(parts.map((part) => bench.compress(format, part))));
    const { client } = await bench.open({ uri });
    const { bytes, code } = await client.readAll();
    expect(code).toBe(null);
    expect(content.equals(bytes)).toBe(true);
    expect(client.info).toMatchObject({ uri, access: 'rewind', depth: 1 });
    expect(client.fingerprint).not.toBe('');
  });

  it('starts again for an earlier offset, also when the name has gone, and skips forward', async () => {
    const uri = bench.write('image', bench.compress(format, content));
    const { client, prepared } = await bench.open({ uri });
    rmSync(uri);
    for (const at of [3 * MIB, MIB, 4 * MIB, 0, 2 * MIB, 2 * MIB]) {
      const { bytes, code } = await client.read(at);
      expect(code).toBe(null);
      expect(content.subarray(at, at + MIB).equals(bytes)).toBe(true);
    }
    expect(prepared.helperPids.length).toBeLessThanOrEqual(1);
  });

  it('gives nothing beyond the end', async () => {
    const { client } = await bench.open({ uri: bench.write('image', bench.compress(format, content)) });
    const { bytes, code } = await client.read(64 * MIB);
    expect([bytes.length, code]).toEqual([0, null]);
  });

  it.each(['cut off', 'damaged', 'followed by garbage'])('is never a short image when it is %s', async (how) => {
    const whole = bench.compress(format, content);
    const damaged = Buffer.from(whole).fill(0x55, whole.length >> 1, (whole.length >> 1) + 64);
    const bytes =
      { 'cut off': whole.subarray(0, whole.length - 1000), damaged }[how] ?? Buffer.concat([whole, damaged]);
    const uri = bench.write('image', bytes);
    // The index of xz tells before anything is read; the others tell on the way.
    const code = await bench.open({ uri }).then(
      async ({ client }) => (await client.readAll()).code,
      (error: { code?: string }) => error.code,
    );
    expect(code).toBe('SOURCE_CORRUPT');
  });

  it('fails while its program is killed, and can be read after', async () => {
    // More than the pipes hold, so that the program is still at work.
    const long = Buffer.concat([content, content, content, content]);
    const uri = bench.write('image', bench.compress(format, long));
    const { client, prepared } = await bench.open({ uri });
    await client.read(0);
    const [pid] = prepared.helperPids;
    process.kill(present(pid, 'pid of the program'), 'SIGKILL');
    // What was on its way is still good.
    let at = MIB;
    let answer = await client.read(at);
    for (; answer.code === null; answer = await client.read(at)) at += MIB;
    expect(answer.code).toBe('SOURCE_READ_FAILED');
    expect(answer.message).toContain('SIGKILL');
    // What its producer would do: try again where it failed.
    const retried = await client.read(at);
    expect(long.subarray(at, at + MIB).equals(retried.bytes)).toBe(true);
    const again = await client.readAll();
    expect(long.equals(again.bytes)).toBe(true);
    expect(again.code).toBe(null);
  });

  it('says which package is missing', async () => {
    const uri = bench.write('image', bench.compress(format, content));
    const report = await runProcess({ source: { uri }, offsets: [], hold: false }, { env: { PATH: '/nonexistent' } });
    expect(report.code).toBe('TOOL_MISSING');
    expect(report.message).toMatch(/apt-get install (gzip|xz-utils|zstd|bzip2)$/);
  });
});

describe('compressed source - size', () => {
  it('is known of xz, and of zstd when its frames tell; of others only the end tells', async () => {
    const sizes: Record<string, number | null> = {};
    for (const format of FORMATS) {
      const { client } = await bench.open({ uri: bench.write(format, bench.compress(format, content)) });
      sizes[format] = client.info.sizeBytes;
    }
    // From standard input zstd cannot write the size into the frame.
    expect(sizes).toEqual({ gzip: null, xz: content.length, zstd: null, bzip2: null });
    bench.write('image', content);
    bench.run('zstd', '-q', '-o', 'image.zst', 'image');
    const { client } = await bench.open({ uri: bench.path('image.zst') });
    expect(client.info.sizeBytes).toBe(content.length);
    expect(content.equals((await client.readAll()).bytes)).toBe(true);
  });

  it('is held to: damage behind the last byte of the image is found with that byte', async () => {
    const whole = bench.compress('gzip', content.subarray(0, MIB));
    // The last eight bytes of gzip are check sum and length (RFC 1952).
    whole.writeUInt32LE(0, whole.length - 8);
    const { client } = await bench.open({ uri: bench.write('image', whole) });
    const { code, message } = await client.readAll();
    expect(code).toBe('SOURCE_CORRUPT');
    expect(message).toContain('crc error');
  });

  it('finds a damaged zstd check sum with the last byte of a promised size', async () => {
    bench.write('image', content.subarray(0, MIB));
    bench.run('zstd', '-q', '-o', 'image.zst', 'image');
    const bytes = bench.bytes('image.zst');
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 0xff;
    const uri = bench.write('image.zst', bytes);
    // Where the front of the image, which is read to see what it is, has the end in it, it is known at once.
    const code = await bench.open({ uri }).then(
      async ({ client }) => (await client.read(0)).code,
      (error: { code?: string }) => error.code,
    );
    expect(code).toBe('SOURCE_CORRUPT');
  });
});

describe('compressed source - another file under its name', () => {
  it('is refused', async () => {
    const uri = bench.write('image', bench.compress('gzip', content));
    const source = await identifySource({ uri });
    bench.write('other', bench.compress('gzip', content));
    bench.run('mv', 'other', 'image');
    await expect(prepareSource(source)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
  });
});

/** What a process of its own makes of the task, with what we give it as standard input. */
async function runProcess(
  task: ProcessTask,
  options: SpawnOptions = {},
  input: Uint8Array | null = null,
): Promise<ProcessReport> {
  const stdio = options.stdio ?? [input === null ? 'ignore' : 'pipe', 'pipe', 'inherit'];
  const child = spawn(process.execPath, [compiled('source-process'), JSON.stringify(task)], { ...options, stdio });
  const over = once(child, 'close');
  if (input !== null) {
    assert(child.stdin !== null, 'a pipe to standard input');
    // A reader that has enough closes its end; that is its right.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  }
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await over;
  return JSON.parse(output) as ProcessReport;
}

const stdin = { uri: '-' };
const ALL = [0, MIB, 2 * MIB, 3 * MIB, 4 * MIB];

function bytesOf(report: ProcessReport): Buffer {
  return Buffer.concat(report.reads.map(({ bytes }) => Buffer.from(bytes, 'base64')));
}

describe('standard input', () => {
  it('is read once when it is a pipe: an earlier offset has gone by', async () => {
    const report = await runProcess({ source: stdin, offsets: [...ALL, MIB], hold: false }, {}, content);
    expect(report).toMatchObject({ code: null, access: 'once' });
    expect(report.identity).toMatch(/^stdin:\d+:\d+\+auto$/);
    expect(content.equals(bytesOf(report))).toBe(true);
    expect(report.reads.map(({ code }) => code)).toEqual([null, null, null, null, null, 'SOURCE_NOT_REWINDABLE']);
  });

  it.each(FORMATS)('is decompressed when told that it is %s', async (format) => {
    const task = { source: { uri: '-', format }, offsets: [...ALL, 0], hold: false };
    const report = await runProcess(task, {}, bench.compress(format, content));
    expect(report.access).toBe('once');
    expect(content.equals(bytesOf(report))).toBe(true);
    expect(report.reads.at(-1)?.code).toBe('SOURCE_NOT_REWINDABLE');
  });

  it('keeps what came before damage: a retry meets the same error, not the loss of its first half', async () => {
    const whole = bench.compress('gzip', content);
    const task = { source: { uri: '-', format: 'gzip' }, offsets: [0, MIB, 2 * MIB, 2 * MIB, MIB], hold: false };
    // Each MiB has as much noise, so half of the bytes end within the third.
    const report = await runProcess(task, {}, whole.subarray(0, whole.length >> 1));
    const codes = [null, null, 'SOURCE_CORRUPT', 'SOURCE_CORRUPT', 'SOURCE_NOT_REWINDABLE'];
    expect(report.reads.map(({ code }) => code)).toEqual(codes);
  });

  it('is as good as a named file when it is one', async () => {
    const uri = bench.write('image', bench.compress('xz', content));
    const fd = openSync(uri, 'r');
    bench.later(() => closeSync(fd));
    const task = { source: stdin, offsets: [...ALL, 0], hold: false };
    const report = await runProcess(task, { stdio: [fd, 'pipe', 'inherit'] });
    expect(report).toMatchObject({ code: null, access: 'rewind', identity: (await identifySource({ uri })).identity });
    expect(Buffer.concat([content, content.subarray(0, MIB)]).equals(bytesOf(report))).toBe(true);
  });

  it('cannot be an image that needs any offset, nor a device without an end', async () => {
    const needsAny = await runProcess({ source: { uri: '-', format: 'qcow2' }, offsets: [], hold: false }, {}, content);
    expect(needsAny.code).toBe('FORMAT_UNKNOWN');
    expect((await runProcess({ source: stdin, offsets: [], hold: false })).code).toBe('SOURCE_KIND');
  });

  it('is refused when it is a terminal', async () => {
    const task = JSON.stringify({ source: stdin, offsets: [], hold: false });
    // script(1) gives its command a terminal.
    const output = bench.run(
      'script',
      '-qec',
      `'${process.execPath}' '${compiled('source-process')}' '${task}'`,
      '/dev/null',
    );
    expect(JSON.parse(output)).toMatchObject({ code: 'USAGE' });
  });
});
