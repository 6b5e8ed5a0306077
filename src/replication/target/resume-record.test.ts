// Goal: a record is read back as it was written, or refused; damage of whatever kind is never taken for progress.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeOf } from '../../base/mod.ts';
import { recordAt } from './record-place.ts';
import { loadRecord, type ResumeRecord, removeRecord, saveRecord } from './resume-record.ts';

let folder = '';
let path = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'record-'));
  path = join(folder, 'deep', 'image.partial.resume');
});
afterAll(() => rmSync(folder, { recursive: true }));

const records: fc.Arbitrary<ResumeRecord> = fc
  .record({
    target: fc.string(),
    sourceIdentity: fc.string(),
    fingerprint: fc.string(),
    sourceBytes: fc.nat(),
    endBytes: fc.nat(),
    blockBytes: fc.constantFrom(65_536, 4_194_304),
    blockCount: fc.integer({ min: 0, max: 40 }),
    missingCount: fc.nat(),
    byte: fc.nat({ max: 255 }),
  })
  .map(({ byte, ...head }) => ({
    version: 2,
    ...head,
    done: new Uint8Array(Math.ceil(head.blockCount / 8)).fill(byte),
    digests: new Uint8Array(head.blockCount * 16).fill(byte),
  }));

const example: ResumeRecord = {
  version: 2,
  target: 'file:2049:78:1700000000',
  missingCount: 1,
  sourceIdentity: 'file:2049:77',
  fingerprint: '4096:1:2',
  sourceBytes: 300_000,
  endBytes: 0,
  blockBytes: 65_536,
  blockCount: 5,
  done: new Uint8Array([0b10111]),
  digests: new Uint8Array(80).map((_, at) => at * 3),
};

/** The code with which bytes are refused as a record. */
function refusal(bytes: Uint8Array): string | null {
  writeFileSync(path, bytes);
  try {
    loadRecord(recordAt(path));
    return null;
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}

describe('a resume record', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(records, (record) => {
        saveRecord(recordAt(path), record);
        const { done, digests, ...head } = loadRecord(recordAt(path));
        expect({ ...head, done: [...done], digests: [...digests] }).toEqual({
          ...record,
          done: [...record.done],
          digests: [...record.digests],
        });
      }),
      { numRuns: 50 },
    );
  });

  test('is refused with any bit of any byte turned', () => {
    saveRecord(recordAt(path), example);
    const whole = readFileSync(path);
    for (let at = 0; at < whole.byteLength; at++) {
      for (const bit of [1, 0x80, 0xff]) {
        const damaged = Uint8Array.from(whole);
        damaged[at] = (damaged[at] ?? 0) ^ bit;
        expect([at, refusal(damaged)]).toEqual([at, 'RESUME_RECORD_INVALID']);
      }
    }
  });

  test('is refused when it is cut anywhere, or when anything follows it', () => {
    saveRecord(recordAt(path), example);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.byteLength; length++) {
      expect([length, refusal(whole.subarray(0, length))]).toEqual([length, 'RESUME_RECORD_INVALID']);
    }
    expect(refusal(Buffer.concat([whole, Buffer.from([0])]))).toBe('RESUME_RECORD_INVALID');
    expect(refusal(whole)).toBe(null);
  });

  test('is nothing else: whatever bytes there are, they are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(bytes)).toBe('RESUME_RECORD_INVALID');
      }),
      { numRuns: 100 },
    );
  });

  test('may be absent', () => {
    saveRecord(recordAt(path), example);
    removeRecord(recordAt(path));
    expect(() => loadRecord(recordAt(path))).toThrow(/there is no record/);
  });
});
