// A source that cannot be read in places: tried again, then the end of the copy, or zeros that the result lists.
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const KIB = 1024;
const BLOCK = 256 * KIB;

/** Serves `content`, whose bytes from `from` to `to` cannot be read as long as `broken` succeeds. */
function brokenSource(stage: Stage, content: Buffer, ranges: readonly (readonly [number, number])[], broken = 'true') {
  const overlaps = ranges.map(([from, to]) => `[ $(($3 + $4)) -gt ${from} -a $4 -lt ${to} ]`).join(' || ');
  const pread = `if { ${overlaps}; } && ${broken}; then echo EIO unreadable >&2; exit 1; fi; dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none`;
  return stage.nbdkit({
    plugin: ['eval', 'get_size=stat -Lc %s FOLDER/disk', `pread=${pread}`],
    files: { disk: content },
  });
}

test('read error - by default the copy fails, naming the place, and nothing gets the final name', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(2, 8 * BLOCK);
    const at = 5 * BLOCK + 128 * KIB;
    const source = await brokenSource(stage, content, [[at, at + 512]]);
    const copy = stage.copyJson('--block-size', '256K', source.uri, stage.target('a'), stage.target('b'));
    const result = await copy.result();
    expect((await copy.ended).status).toBe(3);
    for (const target of result.targets) {
      expect(target).toMatchObject({ ok: false, resumable: true, error: { code: 'SOURCE_READ_FAILED' } });
      expect(target.error?.message).toContain(`65536 bytes at ${at}`);
    }
    expect(stage.targets).toEqual(['a.partial', 'a.partial.resume', 'b.partial', 'b.partial.resume']);
  }));

test('read error - with --on-read-error zero the copy is complete, and lists what is zeros', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(2, 8 * BLOCK);
    const ranges = [
      { offsetBytes: BLOCK, lengthBytes: 64 * KIB },
      { offsetBytes: 5 * BLOCK + 64 * KIB, lengthBytes: 128 * KIB },
    ];
    const bad = ranges.map(
      ({ offsetBytes, lengthBytes }) => [offsetBytes + 10, offsetBytes + lengthBytes - 10] as const,
    );
    const source = await brokenSource(stage, content, bad);
    const expected = stage.allow(Buffer.from(content));
    for (const { offsetBytes, lengthBytes } of ranges) expected.fill(0, offsetBytes, offsetBytes + lengthBytes);
    const args = ['--block-size', '256K', '--on-read-error', 'zero', source.uri];
    const copy = stage.copyJson('--verify', ...args, stage.target('a'));
    const target = await copy.good();
    expect((await copy.ended).status).toBe(0);
    expect(target.unreadable).toEqual(ranges);
    expect(target.verified).toBe(true);
    expect(stage.difference('a', expected)).toBe(null);
    const told = stage.copy(['--quiet', ...args, stage.target('b')]);
    await told.ended;
    expect(told.stderr).toContain(`unreadable, zeros instead: 65536 bytes at ${BLOCK}`);
  }));

test('read error - one that goes away when tried again is none', () =>
  onStage(async (stage) => {
    const content = stage.allow(randomBytesOf(2, 4 * BLOCK));
    const source = await brokenSource(stage, content, [[BLOCK, BLOCK + 1]], 'mkdir FOLDER/tried');
    const target = await stage.copyJson('--block-size', '256K', source.uri, stage.target('a')).good();
    expect(target.unreadable).toEqual([]);
    expect(stage.difference('a', content)).toBe(null);
  }));

test('read error - who fails and who takes zeros can share one reading', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(2, 8 * BLOCK);
    const source = await brokenSource(stage, content, [[6 * BLOCK, 6 * BLOCK + 1]]);
    const expected = stage.allow(Buffer.from(content));
    expected.fill(0, 6 * BLOCK, 6 * BLOCK + 64 * KIB);
    const args = ['--block-size', '256K', '--limit', '1M', source.uri];
    const strict = stage.copyJson(...args, stage.target('a'));
    const lenient = stage.copyJson('--on-read-error', 'zero', ...args, stage.target('b'));
    expect((await strict.result()).targets[0]?.error?.code).toBe('SOURCE_READ_FAILED');
    await lenient.good();
    expect(stage.difference('b', expected)).toBe(null);
    expect(stage.targets).not.toContain('a');
  }));
