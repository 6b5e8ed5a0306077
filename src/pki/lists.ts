// The two lists of the folder, one certificate a line. `issued` says what the authority has signed, so that a
// certificate of which no file is left can still be revoked; `revoked` says what is not accepted any more. Neither
// needs the authority's key.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Dated, Subject } from './contract.ts';
import { readOwn, unusable } from './private-file.ts';
import { subjectOfTitle, titleOf } from './subject.ts';

const ISSUED = 'issued';
const REVOKED = 'revoked';

const SERIAL = /^[0-9a-f]{1,40}$/;

export interface Entry {
  readonly serial: string;
  /** "host-web1". */
  readonly title: string;
  /** When it was issued or revoked, milliseconds since 1970. */
  readonly atMs: number;
  /** Milliseconds since 1970; null in the list of what was revoked. */
  readonly expiresMs: number | null;
}

const HEADS = {
  [ISSUED]: '# What the authority has signed: SERIAL KIND-NAME ISSUED EXPIRES\n',
  [REVOKED]: '# What is not accepted any more: SERIAL KIND-NAME REVOKED\n',
} as const;

/** @throws CERTIFICATE_INVALID with the line: a list that is not understood must not let anybody in */
export function readIssued(folder: string): Promise<readonly Entry[]> {
  return read(folder, ISSUED);
}

/** @throws CERTIFICATE_INVALID */
export function readRevoked(folder: string): Promise<readonly Entry[]> {
  return read(folder, REVOKED);
}

/** Told before the certificate is handed out, so that nothing is signed that cannot be revoked. */
export async function addIssued(folder: string, serial: string, subject: Subject, dated: Dated): Promise<void> {
  const entry = { serial, title: titleOf(subject), atMs: dated.notBeforeMs, expiresMs: dated.expiresMs };
  await append(folder, ISSUED, [entry]);
}

export async function addRevoked(folder: string, entries: readonly Entry[]): Promise<void> {
  await append(folder, REVOKED, entries);
}

async function read(folder: string, name: typeof ISSUED | typeof REVOKED): Promise<readonly Entry[]> {
  const path = join(folder, name);
  const lines = ((await readOwn(path)) ?? '').split('\n');
  return lines.flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const entry = parse(line.trim().split(/[ \t]+/), name === ISSUED);
    if (entry === null)
      throw unusable(`${path}:${index + 1}: is not understood; a line is "${HEADS[name].split(': ')[1]?.trim()}"`);
    return [entry];
  });
}

function parse(words: readonly string[], dated: boolean): Entry | null {
  const [serial = '', title = '', at = '', expires = '', ...rest] = words;
  const [atMs, expiresMs] = [Date.parse(at), dated ? Date.parse(expires) : null];
  if (!SERIAL.test(serial) || subjectOfTitle(title) === null || rest.length > 0) return null;
  if (Number.isNaN(atMs) || Number.isNaN(expiresMs) || (!dated && expires !== '')) return null;
  return { serial, title, atMs, expiresMs };
}

/**
 * Durable, because a revocation that a power cut takes back would let somebody in again; in one write at the end of
 * the file, so that two commands at a time lose nothing of each other (open(2), O_APPEND).
 */
async function append(folder: string, name: typeof ISSUED | typeof REVOKED, entries: readonly Entry[]): Promise<void> {
  const lines = entries.map(({ serial, title, atMs, expiresMs }) => {
    const dates = expiresMs === null ? [atMs] : [atMs, expiresMs];
    return `${[serial, title, ...dates.map((ms) => new Date(ms).toISOString())].join(' ')}\n`;
  });
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const file = await open(join(folder, name), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  try {
    const isNew = (await file.stat()).size === 0;
    await file.write(`${isNew ? HEADS[name] : ''}${lines.join('')}`);
    await file.sync();
  } finally {
    await file.close();
  }
  await flushFolder(folder);
}

/** Puts a file in place whole, and flushed. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  // Two commands at a time do not meet; what a crash has left is in nobody's way.
  const made = `${path}.${randomBytes(6).toString('hex')}.new`;
  const file = await open(made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    await file.chmod(mode);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(made, path);
  await flushFolder(dirname(path));
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
