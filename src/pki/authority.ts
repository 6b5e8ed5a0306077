// The private authority: made, asked to sign, and told what is not accepted any more. Only what signs needs its key,
// which can be kept elsewhere and be named when it is needed.
import { X509Certificate } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { errnoOf, UnderstudyError } from '../base/mod.ts';
import type { Authority, Certificate, Certificates, Subject } from './contract.ts';
import { DAY_MS } from './expiry.ts';
import { AUTHORITY, AUTHORITY_KEY, findCertificate, readCertificates, serialOf } from './folder.ts';
import { addIssued, addRevoked, type Entry, readIssued, replaceFile } from './lists.ts';
import { checkFolder, readOwn } from './private-file.ts';
import { writeRevocationList } from './revocation-list.ts';
import { extensionsOf, newKey, newSerial, publicKeyOf, sign } from './sign.ts';
import { checkName, checkServices, ORGANIZATION, subjectOption, titleOf } from './subject.ts';

export const AUTHORITY_DAYS = 3650;
export const CERTIFICATE_DAYS = 365;
const DAYS_MAX = 36_500;
const ADDRESSES_MAX = 32;

export interface InitRequest {
  readonly folder: string;
  /** Where the authority's key goes. @default ca.key in the folder */
  readonly authorityKey?: string | undefined;
  readonly days?: number | undefined;
}

/** @throws CERTIFICATE_EXISTS, CERTIFICATE_INVALID, CERTIFICATE_FAILED, TOOL_MISSING, USAGE */
export async function initAuthority({
  folder,
  authorityKey,
  days = AUTHORITY_DAYS,
}: InitRequest): Promise<Certificates> {
  checkDays(days);
  const path = resolve(folder);
  await makeFolder(path);
  await checkFolder(path);
  const keyFile = resolve(authorityKey ?? join(path, AUTHORITY_KEY));
  for (const file of [join(path, AUTHORITY), keyFile]) {
    if (await isThere(file)) {
      throw new UnderstudyError('CERTIFICATE_EXISTS', `${file} is there already; an authority is never replaced`);
    }
  }
  await makeFolder(dirname(keyFile));
  await replaceFile(keyFile, newKey(), 0o600);
  const pem = await sign({
    ...{ folder: path, serial: newSerial(), days, keyFile, issued: null },
    subject: `/O=${ORGANIZATION}/CN=understudy authority`,
    extensions: extensionsOf('authority', []),
  });
  await replaceFile(join(path, AUTHORITY), pem, 0o644);
  return readCertificates(path);
}

export interface Signer {
  readonly folder: string;
  /** @default ca.key in the folder */
  readonly authorityKey?: string | undefined;
  /** @default 365 */
  readonly days?: number | undefined;
}

export interface IssueRequest extends Signer {
  readonly subject: Subject;
  /** Further DNS names and IP addresses at which it is reached. A node and a host have their own name anyway. */
  readonly addresses?: readonly string[];
}

/**
 * A certificate with a key of its own. The name may be used again when the last one was revoked or has expired.
 * @throws CERTIFICATE_EXISTS, AUTHORITY_KEY_MISSING, CERTIFICATE_INVALID, CERTIFICATE_FAILED, TOOL_MISSING, USAGE
 */
export async function issueCertificate({ subject, addresses = [], ...signer }: IssueRequest): Promise<Certificate> {
  const { kind, name } = subject;
  checkName(kind, name);
  checkServices(subject.services ?? []);
  checkAddresses(addresses);
  const all = await readCertificates(signer.folder);
  const there = findCertificate(all, kind, name);
  if (there !== null && !there.revoked && there.expiresMs > Date.now()) {
    const title = titleOf(subject);
    throw new UnderstudyError(
      'CERTIFICATE_EXISTS',
      `${there.file} is there already: "understudy pki renew ${title}" renews it; for a new key, revoke it first`,
    );
  }
  const key = newKey();
  const names = kind === 'user' ? [] : [...new Set([name, ...addresses])];
  return put(all, signer, { subject, addresses: names, publicKey: publicKeyOf(key), key });
}

/**
 * The same again with a new date. Keys stay, so that one file is replaced at once, and nothing secret has to travel
 * to a host.
 * @throws as issueCertificate; CERTIFICATE_INVALID for one that was revoked
 */
export async function renewCertificate(certificate: Certificate, signer: Signer): Promise<Certificate> {
  if (certificate.revoked) {
    throw new UnderstudyError(
      'CERTIFICATE_INVALID',
      `${certificate.title} was revoked: "understudy pki issue" makes one with a new key`,
    );
  }
  const { kind, name, role, services = null, addresses, pem } = certificate;
  const all = await readCertificates(signer.folder);
  return put(all, signer, {
    subject: { kind, name, role, services },
    addresses,
    publicKey: publicKeyOf(pem),
    key: null,
  });
}

interface Wanted {
  readonly subject: Subject;
  readonly addresses: readonly string[];
  readonly publicKey: string;
  /** null: it stays where it is. */
  readonly key: string | null;
}

async function put(all: Certificates, signer: Signer, wanted: Wanted): Promise<Certificate> {
  const { subject, addresses, publicKey, key } = wanted;
  const { days = CERTIFICATE_DAYS } = signer;
  checkDays(days);
  const keyFile = await authorityKeyOf(all, signer.authorityKey);
  const serial = newSerial();
  const pem = await sign({
    ...{ folder: all.folder, serial, days, keyFile },
    subject: subjectOption(subject),
    extensions: extensionsOf(subject.kind, addresses),
    issued: { authorityFile: join(all.folder, AUTHORITY), publicKey },
  });
  const x509 = new X509Certificate(pem);
  const dated = { notBeforeMs: Date.parse(x509.validFrom), expiresMs: Date.parse(x509.validTo) };
  await addIssued(all.folder, serialOf(x509), subject, dated);
  const title = titleOf(subject);
  if (key !== null) await replaceFile(join(all.folder, `${title}.key`), key, 0o600);
  await replaceFile(join(all.folder, `${title}.crt`), pem, 0o644);
  await writeRevocationList(all, keyFile);
  const made = findCertificate(await readCertificates(all.folder), subject.kind, subject.name);
  if (made === null) throw new UnderstudyError('CERTIFICATE_FAILED', `${title}.crt was made and is not there`);
  return made;
}

/** The authority's key, which has to be where it is said to be and to belong to the authority that issues. */
async function authorityKeyOf({ folder, authorities }: Certificates, named: string | undefined): Promise<string> {
  const file = resolve(named ?? join(folder, AUTHORITY_KEY));
  const key = await readOwn(file, { secret: true });
  if (key === null) {
    throw new UnderstudyError(
      'AUTHORITY_KEY_MISSING',
      `${file} is not there, and only the key of the authority signs certificates: say where it is with --authority-key FILE`,
    );
  }
  const [first] = authorities;
  if (first !== undefined && isKeyOf(first, key)) return file;
  throw new UnderstudyError('CERTIFICATE_INVALID', `${file} is not the key of ${join(folder, AUTHORITY)}`);
}

function isKeyOf({ pem }: Authority, key: string): boolean {
  try {
    return publicKeyOf(key) === publicKeyOf(pem);
  } catch (error) {
    // Not a key at all, so not that one.
    if (error instanceof Error) return false;
    throw error;
  }
}

/**
 * What was issued under this name so far is not accepted any more, also certificates of which no file is left. Needs
 * no key.
 * @param title "host-web1"
 * @returns serial numbers that were added; none: all were revoked already
 * @throws CERTIFICATE_UNKNOWN, CERTIFICATE_INVALID
 */
export async function revokeCertificates(folder: string, title: string, nowMs: number): Promise<readonly string[]> {
  const all = await readCertificates(folder);
  const inFolder = all.certificates.filter((one) => one.title === title).map(({ serial }) => serial);
  const issued = (await readIssued(all.folder)).filter((one) => one.title === title).map(({ serial }) => serial);
  const serials = [...new Set([...issued, ...inFolder])];
  if (serials.length === 0) {
    const known = [...new Set(all.certificates.map((one) => one.title))].slice(0, 20).join(', ');
    throw new UnderstudyError(
      'CERTIFICATE_UNKNOWN',
      `no certificate was issued for "${title}"; there are ${known || 'none'}`,
    );
  }
  const entries = serials
    .filter((serial) => !all.revoked.has(serial))
    .map((serial): Entry => ({ serial, title, atMs: nowMs, expiresMs: null }));
  if (entries.length > 0) await addRevoked(all.folder, entries);
  const keyFile = join(all.folder, AUTHORITY_KEY);
  if (await isThere(keyFile)) await writeRevocationList(all, keyFile);
  return entries.map(({ serial }) => serial);
}

/** Those that expire within so many days, and were not revoked: what `renew` renews. */
export function expiringWithin({ certificates }: Certificates, days: number, nowMs: number): readonly Certificate[] {
  return certificates.filter(({ revoked, expiresMs }) => !revoked && expiresMs - nowMs < days * DAY_MS);
}

function checkDays(days: number): void {
  if (Number.isInteger(days) && days >= 1 && days <= DAYS_MAX) return;
  throw new UnderstudyError('USAGE', `${days} is not a number of days from 1 to ${DAYS_MAX}`);
}

function checkAddresses(addresses: readonly string[]): void {
  const wrong = addresses.find(
    (one) => isIP(one) === 0 && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(one),
  );
  if (wrong !== undefined) {
    throw new UnderstudyError('USAGE', `"${wrong.slice(0, 100)}" is not a name or an IP address`);
  }
  if (addresses.length > ADDRESSES_MAX) throw new UnderstudyError('USAGE', `at most ${ADDRESSES_MAX} addresses`);
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return false;
  }
}
