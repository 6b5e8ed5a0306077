// Kinds of values in understudy.yaml, each with what it looks like for editors (JSON Schema) and what is said when it
// is wrong.
import { isIP, isIPv4 } from 'node:net';
import * as z from 'zod';
import { codeOf, messageOf, parseBytes, parseDuration } from '../base/mod.ts';

interface Kind<T> {
  /** For editors, with a description of the whole value. */
  readonly pattern: RegExp;
  /** What is said of a value that does not match: `is not ...`. */
  readonly what: string;
  /** Shown by editors; the first also by what is said of a wrong value. */
  readonly examples: readonly [string, ...string[]];
  /** What the pattern does not show. */
  readonly note?: string;
  /** @returns null when the value matches the pattern and is still wrong */
  readonly read: (text: string) => T | null;
}

/** A text of a kind, as the value that it means. */
function textOf<T>(kind: Kind<T>): z.ZodPipe<z.ZodString, z.ZodTransform<T, string>> {
  return z
    .string()
    .meta({ pattern: kind.pattern.source, examples: [...kind.examples] })
    .transform((text, context): T => {
      const value = kind.pattern.test(text) ? kind.read(text) : null;
      if (value !== null) return value;
      const note = kind.note === undefined ? '' : `: ${kind.note}`;
      const params = { hint: `write for example ${kind.examples[0]}${note}` };
      context.addIssue({ code: 'custom', message: `"${text.slice(0, 100)}" is not ${kind.what}`, params });
      return z.NEVER;
    });
}

/** RFC 1123, lower case; also what may be part of a key of the store and of a name of the director. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function name() {
  return textOf({
    pattern: LABEL,
    what: 'a name',
    examples: ['web1'],
    note: 'lower-case letters, digits and "-", at most 63',
    read: (text) => text,
  });
}

export function domain() {
  return textOf({
    pattern: /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    what: 'a domain',
    examples: ['example.org'],
    read: (text) => (text.length <= 190 ? text : null),
  });
}

/** Linux: up to 15 bytes, no "/" and no white space. */
export function linkName() {
  return textOf({
    pattern: /^[A-Za-z0-9][A-Za-z0-9._@-]{0,14}$/,
    what: 'the name of a network interface',
    examples: ['eth0'],
    read: (text) => text,
  });
}

/** Made absolute afterwards: src/config/paths.ts. */
export function path() {
  return z
    .string()
    .min(1)
    .max(4000)
    .refine((text) => !text.includes('\0'), { error: 'has a NUL character, which no path has' })
    .meta({ format: 'path' });
}

export function mac() {
  return textOf({
    pattern: /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/,
    what: 'the MAC address of one computer',
    examples: ['52:54:00:12:34:56'],
    note: 'the second digit even, an odd one means many computers',
    // The lowest bit of the first octet marks group addresses (IEEE 802).
    read: (text) =>
      Number.parseInt(text.slice(0, 2), 16) % 2 === 0 && !/^[0:]+$/.test(text) ? text.toLowerCase() : null,
  });
}

export function address() {
  return textOf({
    pattern: /^[0-9A-Fa-f.:]+$/,
    what: 'an IP address',
    examples: ['10.20.0.11'],
    read: (text) => (isIP(text) === 0 ? null : text.toLowerCase()),
  });
}

export function cidr() {
  return textOf({
    pattern: /^[0-9A-Fa-f.:]+\/[0-9]{1,3}$/,
    what: 'an address with the length of its network',
    examples: ['10.20.0.11/24'],
    read: (text) => {
      const [host = '', length = ''] = text.split('/');
      const bits = isIPv4(host) ? 32 : 128;
      return isIP(host) !== 0 && Number(length) >= 1 && Number(length) <= bits ? text.toLowerCase() : null;
    },
  });
}

interface Quantity {
  readonly pattern: RegExp;
  readonly what: string;
  readonly examples: readonly [string, ...string[]];
  /** A reader of src/base that throws USAGE. */
  readonly read: (text: string) => number;
}

/** A number with a unit, from a least to a most. */
function quantityOf({ pattern, what, examples, read }: Quantity, min: string, max: string) {
  const [least, most] = [read(min), read(max)];
  return z
    .string()
    .meta({ pattern: pattern.source, examples: [...examples] })
    .transform((text, context): number => {
      const fail = (message: string, hint: string): never => {
        context.addIssue({ code: 'custom', message, params: { hint } });
        return z.NEVER;
      };
      if (!pattern.test(text))
        return fail(`"${text.slice(0, 100)}" is not ${what}`, `write for example ${examples[0]}`);
      let value: number;
      try {
        value = read(text);
      } catch (error) {
        if (codeOf(error) !== 'USAGE') throw error;
        return fail(messageOf(error), `from ${min} to ${max}`);
      }
      if (value < least || value > most) return fail(`${text} is out of range`, `from ${min} to ${max}`);
      return value;
    });
}

/** Milliseconds. */
export function durationMs(min: string, max: string) {
  const pattern = /^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h)$/;
  return quantityOf({ pattern, what: 'a duration', examples: ['10s', '5m'], read: parseDuration }, min, max);
}

/** Seconds, perhaps not whole. */
export function durationSeconds(min: string, max: string) {
  return durationMs(min, max).transform((ms) => ms / 1000);
}

export function bytes(min: string, max: string) {
  const pattern = /^[0-9]+(\.[0-9]+)? ?([KMGTPkmgtp]([iI]?[bB])?|[bB])?$/;
  return quantityOf({ pattern, what: 'a size', examples: ['4G', '200M'], read: parseBytes }, min, max);
}

export function port() {
  return z.int().min(1).max(65535);
}

export type Listen =
  | { readonly kind: 'unix' }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'range'; readonly host: string; readonly firstPort: number; readonly lastPort: number };

/** "unix", ADDRESS:PORT, or ADDRESS:FIRST-LAST. */
export function listenAddress() {
  return textOf<Listen>({
    pattern: /^(unix|([0-9.]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}(-[0-9]{1,5})?)$/,
    what: 'a place to listen',
    examples: ['unix', '10.20.0.1:10810-10841'],
    read: (text) => {
      if (text === 'unix') return { kind: 'unix' };
      const at = text.lastIndexOf(':');
      const host = text.slice(0, at).replace(/^\[|\]$/g, '');
      const [first = 0, last] = text
        .slice(at + 1)
        .split('-')
        .map(Number);
      if (isIP(host) === 0 || first < 1 || (last ?? first) > 65535) return null;
      if (last === undefined) return { kind: 'tcp', host, port: first };
      return last < first ? null : { kind: 'range', host, firstPort: first, lastPort: last };
    },
  });
}

/** http or https, without path, user and query. */
export function originUrl() {
  return textOf({
    pattern: /^https?:\/\/[^/?#@\s]+\/?$/,
    what: 'a URL without path',
    examples: ['https://10.20.0.1:7780'],
    read: (text) => (URL.canParse(text) ? new URL(text).origin : null),
  });
}
