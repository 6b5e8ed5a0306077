// Damaged inputs out of good ones: bits, lengths, cuts, repetitions and pieces of other inputs. Afterwards the check sums of
// headers are often made right again, so that what lies behind them is reached too.
import type { Random } from '../../src/base/mod.ts';

/** A number in an input that a reader goes by. */
export interface Field {
  readonly at: number;
  readonly bytes: number;
  readonly kind: 'little' | 'big' | 'octal';
  /** What a reader knows to be there. */
  readonly known?: string;
}

export interface Seed {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly fields: readonly Field[];
}

/** Makes check sums of headers right again; never those of the content, which are what tells of its damage. */
export type Repair = (bytes: Uint8Array) => void;

const STEPS_MAX = 4;
/** Inputs do not grow beyond this by repetition. */
const GROWN_BYTES_MAX = 256 * 1024;

/** Every seventh input is as it was: good ones have to be accepted. */
export function mutate(
  seeds: readonly Seed[],
  repair: Repair | null,
  random: Random,
): { seed: Seed; bytes: Uint8Array } {
  const seed = pick(seeds, random);
  const bytes = seed.bytes.slice();
  if (random.below(7) === 0) return { seed, bytes };
  let now: Uint8Array = bytes;
  for (let steps = 1 + random.below(STEPS_MAX); steps > 0; steps -= 1) now = step(now, seed, seeds, random);
  if (repair !== null && random.below(2) === 0) repair(now);
  return { seed, bytes: now };
}

function pick<T>(list: readonly T[], random: Random): T {
  const one = list[random.below(list.length)];
  if (one === undefined) throw new Error('picked from nothing');
  return one;
}

function step(bytes: Uint8Array, seed: Seed, seeds: readonly Seed[], random: Random): Uint8Array {
  const at = random.below(bytes.byteLength + 1);
  const length = lengthOf(bytes.byteLength - at, random);
  switch (random.below(12)) {
    case 0:
      if (at < bytes.byteLength) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      if (at < bytes.byteLength) bytes[at] = pick([0, 0xff, 0x7f, 0x80, random.below(256)], random);
      return bytes;
    case 2:
      return bytes.slice(0, at);
    case 3:
      return joined(bytes.subarray(0, at), bytes.subarray(at + length));
    case 4:
      if (bytes.byteLength + length > GROWN_BYTES_MAX) return bytes;
      return joined(bytes.subarray(0, at + length), bytes.subarray(at));
    case 5: {
      const other = pick(seeds, random).bytes;
      const from = random.below(other.byteLength + 1);
      return joined(bytes.subarray(0, at), other.subarray(from, from + GROWN_BYTES_MAX));
    }
    case 6:
      for (let index = at; index < at + Math.min(length, 64); index += 1) bytes[index] = random.below(256);
      return bytes;
    case 7:
      bytes.fill(random.below(2) === 0 ? 0 : 0xff, at, at + length);
      return bytes;
    case 8:
      return joined(
        bytes,
        Uint8Array.from({ length: 1 + random.below(600) }, () => random.below(256)),
      );
    default:
      if (seed.fields.length > 0) changeField(bytes, pick(seed.fields, random), seed.fields, random);
      return bytes;
  }
}

/** Mostly short, sometimes all that is left. */
function lengthOf(room: number, random: Random): number {
  return Math.min(room, pick([1, 2, 4, 16, 512, 1 + random.below(64), random.below(room + 1)], random));
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.byteLength;
  }
  return out;
}

function changeField(bytes: Uint8Array, field: Field, fields: readonly Field[], random: Random): void {
  if (field.at + field.bytes > bytes.byteLength) return;
  const bits = BigInt(8 * Math.min(field.bytes, 8));
  const max = (1n << bits) - 1n;
  if (field.known !== undefined && random.below(2) === 0) {
    writeField(bytes, field, BigInt(field.known.charCodeAt(random.below(field.known.length))));
    return;
  }
  const now = readField(bytes, field);
  const near = BigInt(1 + random.below(3));
  const other = pick(fields, random);
  const values = [0n, 1n, max, max >> 1n, (max >> 1n) + 1n, now + near, now - near, now * 2n, now / 2n, now + 512n];
  const given = other.at + other.bytes <= bytes.byteLength ? readField(bytes, other) : 0n;
  writeField(bytes, field, pick([...values, given, BigInt(random.below(2 ** 31))], random) & max);
}

function readField(bytes: Uint8Array, { at, bytes: length, kind }: Field): bigint {
  let value = 0n;
  if (kind === 'octal') {
    const digits = Buffer.from(bytes.subarray(at, at + length))
      .toString('latin1')
      .replaceAll(/[^0-7]/g, '');
    return digits === '' ? 0n : BigInt(`0o${digits}`);
  }
  for (let index = 0; index < length; index += 1) {
    const place = kind === 'big' ? index : length - 1 - index;
    value = (value << 8n) | BigInt(bytes[at + place] ?? 0);
  }
  return value;
}

function writeField(bytes: Uint8Array, { at, bytes: length, kind }: Field, value: bigint): void {
  if (kind === 'octal') {
    const digits = value
      .toString(8)
      .padStart(length - 1, '0')
      .slice(1 - length);
    bytes.set(Buffer.from(`${digits}\0`, 'latin1'), at);
    return;
  }
  for (let index = 0; index < length; index += 1) {
    const place = kind === 'big' ? length - 1 - index : index;
    bytes[at + place] = Number((value >> BigInt(8 * index)) & 0xffn);
  }
}
