// Files of digests beside an image, as sha256sum(1) and the BSDs' sha256(1) write them: which digest is the image's?
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { errnoOf, shown, UnderstudyError } from '../base/mod.ts';

/** Files of digests of a whole distribution have some thousand lines. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const NAMES_SHOWN_MAX = 5;
/** What a compressed image has behind the name of the image itself. */
const COMPRESSION = /\.(gz|xz|zst|zstd|bz2|lz4|lzma|zip)$/i;

export interface DigestFile {
  /** Hexadecimal SHA-256, lower case. */
  readonly hex: string;
  /** The file is signed within itself (RFC 9580, 7); nobody has checked that. */
  readonly signed: boolean;
}

interface Entry {
  readonly algorithm: string;
  readonly hex: string;
  /** Null: the digest alone, without a name. */
  readonly name: string | null;
}

/** @throws DIGEST_FILE_INVALID */
export function digestFromFile(path: string, source: string): DigestFile {
  return digestFor(readDigestFile(path), path, source);
}

function readDigestFile(path: string): string {
  try {
    const stats = statSync(path);
    if (stats.size > FILE_BYTES_MAX) throw invalid(path, `it has ${stats.size} bytes, too many for a list of digests`);
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    throw invalid(path, `it cannot be read (${errnoOf(cause) ?? 'unknown error'})`, cause);
  }
}

/**
 * The digest that the text names for the source: for its base name, or, where that is the name of a compressed image,
 * for the name without the suffix. @throws DIGEST_FILE_INVALID
 */
export function digestFor(text: string, path: string, source: string): DigestFile {
  const signed = /^-----BEGIN PGP SIGNED MESSAGE-----/m.test(text);
  const entries = entriesOf(signed ? signedPart(text) : text);
  if (entries.length === 0) throw invalid(path, 'it contains no digest');
  const name = nameOf(source);
  const mine = matching(entries, name);
  if (mine.length === 0) throw invalid(path, `it has no digest for ${shown(name)}, only for ${listed(entries)}`);
  const usable = mine.filter(({ algorithm }) => algorithm === 'SHA256');
  if (usable.length === 0) {
    const found = [...new Set(mine.map(({ algorithm }) => algorithm))].join(' and ');
    throw invalid(path, `its digest for ${shown(name)} is ${found}; only SHA256 is supported`);
  }
  const digests = [...new Set(usable.map(({ hex }) => hex))];
  if (digests.length > 1) throw invalid(path, `it has ${digests.length} different digests for ${shown(name)}`);
  return { hex: digests[0] ?? '', signed };
}

function nameOf(source: string): string {
  if (!/^https?:\/\//i.test(source)) return basename(source.replace(/^file:\/\//i, ''));
  const last = new URL(source).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last);
  } catch {
    // Wrongly escaped: then it is the name as it is.
    return last;
  }
}

/** The name itself first; then the image in it; a digest without a name is of whatever it lies beside. */
function matching(entries: readonly Entry[], name: string): readonly Entry[] {
  const named = (wanted: string): readonly Entry[] =>
    entries.filter((entry) => entry.name !== null && basename(entry.name) === wanted);
  const image = name.replace(COMPRESSION, '');
  for (const wanted of image === name ? [name] : [name, image]) {
    const found = named(wanted);
    if (found.length > 0) return found;
  }
  return entries.every((entry) => entry.name === null) ? entries : [];
}

function listed(entries: readonly Entry[]): string {
  const names = [...new Set(entries.map((entry) => shown(entry.name ?? 'a file without a name')))];
  const more = names.length > NAMES_SHOWN_MAX ? ` and ${names.length - NAMES_SHOWN_MAX} more` : '';
  return `${names.slice(0, NAMES_SHOWN_MAX).join(', ')}${more}`;
}

/** The lines that a clear-text signature is about, with their dashes unescaped (RFC 9580, 7.1 and 7.2). */
function signedPart(text: string): string {
  const inner = /^-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)^-----BEGIN PGP SIGNATURE-----/ms;
  return (inner.exec(text)?.[1] ?? '').replaceAll(/^- /gm, '');
}

function entriesOf(text: string): Entry[] {
  return text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map(entryOf)
    .filter((entry) => entry !== null);
}

/** One line; null for comments and whatever else is no digest. */
function entryOf(line: string): Entry | null {
  const tagged = /^(\\?)([A-Za-z0-9/-]+) \((.+)\) ?= ?([0-9a-f]{32,128})\s*$/i.exec(line);
  if (tagged !== null) {
    const [, escaped = '', tag = '', name = '', hex = ''] = tagged;
    const algorithm = tag.toUpperCase().replace(/^SHA-2-|-/g, '');
    // Cut off, or run into another: no image has such a digest.
    if (algorithm === 'SHA256' && hex.length !== 64) return null;
    return { algorithm, hex: hex.toLowerCase(), name: unescaped(name, escaped) };
  }
  const plain = /^\s*(\\?)([0-9a-f]{32,128})(?: [ *](.+)|[ \t]+(\S.*)|\s*)$/i.exec(line);
  if (plain === null) return null;
  const [, escaped = '', hex = '', name, odd] = plain;
  const algorithm = algorithmOf(hex.length);
  const given = name ?? odd;
  return algorithm === null
    ? null
    : { algorithm, hex: hex.toLowerCase(), name: given === undefined ? null : unescaped(given, escaped) };
}

function algorithmOf(digits: number): string | null {
  return { 32: 'MD5', 40: 'SHA1', 56: 'SHA224', 64: 'SHA256', 96: 'SHA384', 128: 'SHA512' }[digits] ?? null;
}

/**
 * sha256sum(1) writes backslash, newline and carriage return of a name with a backslash, and one before the line that
 * says so.
 */
function unescaped(name: string, escaped: string): string {
  if (escaped === '') return name;
  return name.replaceAll(/\\([\\nr])/g, (_, one: string) => ({ n: '\n', r: '\r' })[one] ?? '\\');
}

function invalid(path: string, why: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('DIGEST_FILE_INVALID', `the digest file ${shown(path)} cannot be used: ${why}`, {
    cause,
  });
}
