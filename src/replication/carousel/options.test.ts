import { describe, expect, test } from 'vitest';
import { codeOf } from '../../base/mod.ts';
import { type CopyOptions, resolveOptions } from './options.ts';

const least: CopyOptions = { source: 'golden.img', targets: ['a.img'] };
const HEX = 'ab'.repeat(32);

describe('resolveOptions', () => {
  test('fills in every default', () => {
    expect(resolveOptions(least)).toEqual({
      ...least,
      extent: { kind: 'whole' },
      gatherMs: 0,
      join: 'oldest',
      onSlow: 'detach',
      onReadError: 'fail',
      verify: false,
      resume: false,
      resumable: true,
      digest: false,
      expect: null,
      direct: 'auto',
      gpt: 'move',
      overwrite: false,
    });
  });

  test('keeps what is said', () => {
    const said = {
      ...least,
      join: 'newest',
      onSlow: 'pace',
      onReadError: 'zero',
      verify: true,
      resume: true,
      resumable: false,
      direct: 'off',
      gpt: 'keep',
      overwrite: true,
      blockBytes: 65_536,
      bufferBytes: 262_144,
      limitRate: 1,
    } as const;
    expect(resolveOptions(said)).toMatchObject(said);
  });

  test('an expected digest is asked for, and compared in lower case', () => {
    const config = resolveOptions({ ...least, expect: `SHA256:${HEX.toUpperCase()}` });
    expect([config.digest, config.expect]).toEqual([true, HEX]);
  });

  test.each<[string, Partial<CopyOptions>]>([
    ['no target', { targets: [] }],
    ['one target twice', { targets: ['a', 'b', 'a'] }],
    ['a block that is no multiple of a page', { blockBytes: 65_537 }],
    ['a block that is too small', { blockBytes: 61_440 }],
    ['a block that is too large', { blockBytes: 2 ** 25 + 4096 }],
    ['a block that is no number', { blockBytes: Number.NaN }],
    ['a buffer below four blocks', { blockBytes: 65_536, bufferBytes: 262_143 }],
    ['a buffer below four default blocks', { bufferBytes: 2 ** 24 - 1 }],
    ['a buffer that is no number', { bufferBytes: Number.NaN }],
    ['a time to gather below nothing', { gatherMs: -1 }],
    ['a time to gather that is no number', { gatherMs: Number.NaN }],
    ['more than a day to gather', { gatherMs: 86_400_001 }],
    ['a rate of nothing', { limitRate: 0 }],
    ['a rate below nothing', { limitRate: -5 }],
    ['a rate that is no number', { limitRate: Number.NaN }],
    ['a digest without its name', { expect: HEX }],
    ['a digest that is too short', { expect: 'sha256:abcd' }],
    ['a digest of a part', { digest: true, extent: { kind: 'used' } }],
    ['an expected digest of a part', { expect: `sha256:${HEX}`, extent: { kind: 'used' } }],
  ])('refuses %s', (_, options) => {
    let code: string | null = null;
    try {
      resolveOptions({ ...least, ...options });
    } catch (error) {
      code = codeOf(error);
    }
    expect(code).toBe('USAGE');
  });
});
