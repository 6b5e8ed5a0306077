// What can be a key, a prefix, a value, a lease: checked once, here, for every driver.
import { assert, limits, UnderstudyError } from '../base/mod.ts';

export const KEY_CHARACTERS_MAX = 200;
export const VALUE_BYTES_MAX = limits.MIB;
/** Far deeper than any record of ours, far less than what would exhaust the stack of whoever walks through it. */
export const VALUE_DEPTH_MAX = 100;
export const LEASE_TTL_MS_MIN = 100;
export const LEASE_TTL_MS_MAX = 600_000;
/**
 * Deletions older than so many changes are forgotten, so that a store does not grow with what is no longer in it. A
 * watch that is further behind has to begin again.
 */
export const DELETIONS_KEPT = 100_000;

const KEY = /^[a-z0-9._-]+(\/[a-z0-9._-]+)*$/;
const PREFIX = /^([a-z0-9._-]+\/)*[a-z0-9._-]*$/;

function invalid(message: string): UnderstudyError {
  return new UnderstudyError('STORE_INVALID', message);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > KEY_CHARACTERS_MAX ? `${text.slice(0, KEY_CHARACTERS_MAX)}...` : text);
}

export function isKey(key: string): boolean {
  return key.length <= KEY_CHARACTERS_MAX && KEY.test(key);
}

/** @throws STORE_INVALID */
export function checkKey(key: string): void {
  if (!isKey(key)) throw invalid(`${quoted(key)} cannot be a key`);
}

/** @throws STORE_INVALID */
export function checkPrefix(prefix: string): void {
  if (prefix.length > KEY_CHARACTERS_MAX || !PREFIX.test(prefix)) {
    throw invalid(`${quoted(prefix)} cannot be the start of a key`);
  }
}

export function checkExpected(expected: number, least: 0 | 1): void {
  assert(Number.isSafeInteger(expected) && expected >= least, `a record cannot have the revision ${expected}`);
}

/** @throws STORE_INVALID */
export function checkLease(name: string, holder: string, ttlMs: number): void {
  checkKey(name);
  if (holder.length < 1 || holder.length > KEY_CHARACTERS_MAX) {
    throw invalid(`${name}: the name of a holder has 1 to ${KEY_CHARACTERS_MAX} characters`);
  }
  if (!(ttlMs >= LEASE_TTL_MS_MIN && ttlMs <= LEASE_TTL_MS_MAX)) {
    throw invalid(`${name}: a lease lasts ${LEASE_TTL_MS_MIN} to ${LEASE_TTL_MS_MAX} ms, not ${ttlMs}`);
  }
}

/** Whether an object is a record of properties and nothing else, also one that was made in another realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null
    ? `a ${value.constructor?.name ?? 'strange object'}`
    : String(value);
}

/** Why a value would not read back the same, or null. `path` is where in the value it is. */
function flawOf(value: unknown, path: string, depth: number): string | null {
  if (value === null || typeof value === 'boolean' || typeof value === 'string' || Number.isFinite(value)) return null;
  if (typeof value !== 'object' || !(Array.isArray(value) || isPlain(value))) {
    return `${path} is ${describe(value)}, which JSON cannot say`;
  }
  if (depth > VALUE_DEPTH_MAX) return `the value is nested more than ${VALUE_DEPTH_MAX} deep`;
  if (Array.isArray(value)) {
    // By index: a hole is read as undefined.
    for (let index = 0; index < value.length; index += 1) {
      const flaw = flawOf(value[index], `${path}[${index}]`, depth + 1);
      if (flaw !== null) return flaw;
    }
    return null;
  }
  for (const [name, part] of Object.entries(value)) {
    const flaw = part === undefined ? null : flawOf(part, `${path}.${name}`, depth + 1);
    if (flaw !== null) return flaw;
  }
  return null;
}

/** The JSON of a value. @throws STORE_INVALID */
export function encodeValue(key: string, value: unknown): string {
  if (value === null) throw invalid(`${key}: null cannot be a value; a record without one is deleted`);
  const flaw = flawOf(value, 'the value', 1);
  if (flaw !== null) throw invalid(`${key}: ${flaw}`);
  const text = JSON.stringify(value);
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > VALUE_BYTES_MAX) {
    throw invalid(`${key}: the value has ${sizeBytes} bytes of JSON; at most ${VALUE_BYTES_MAX}`);
  }
  return text;
}
