// Reads a folder of certificates. What is wrong with one certificate is told and costs the others nothing; what is
// wrong with the folder, the authority or the list of what was revoked is an error, because then nobody could be
// judged.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { codeOf, errnoOf, messageOf, reasonOf, UnderstudyError } from '../base/mod.ts';
import type { Authority, Certificate, CertificateKind, Certificates, KeyPair } from './contract.ts';
import { readIssued, readRevoked } from './lists.ts';
import { checkFolder, readOwn, unusable } from './private-file.ts';
import { distinguishedNameOf, parseSubject, subjectOfTitle, titleOf } from './subject.ts';

export const AUTHORITY = 'ca.crt';
export const AUTHORITY_KEY = 'ca.key';

/** @throws CERTIFICATE_INVALID */
export async function readCertificates(folder: string): Promise<Certificates> {
  const path = resolve(folder);
  await checkFolder(path);
  const authorityPem = await readOwn(join(path, AUTHORITY));
  if (authorityPem === null) {
    throw unusable(`${path} has no ${AUTHORITY}: "understudy pki init" makes an authority in it`);
  }
  const authorities = parseAuthorities(join(path, AUTHORITY), authorityPem);
  const revoked = new Set((await readRevoked(path)).map(({ serial }) => serial));
  const issued = new Set((await readIssued(path)).map(({ title }) => title));
  const certificates: Certificate[] = [];
  const problems: string[] = [];
  const names = new Set(await namesIn(path));
  for (const name of [...names].sort()) {
    const title = name.endsWith('.crt') && name !== AUTHORITY ? name.slice(0, -'.crt'.length) : null;
    if (title === null) continue;
    try {
      certificates.push(await readOne({ path, title, authorities, revoked, hasKey: names.has(`${title}.key`) }));
    } catch (error) {
      if (codeOf(error) !== 'CERTIFICATE_INVALID') throw error;
      problems.push(messageOf(error));
    }
  }
  const all = authorities.map(({ authority }) => authority);
  return { folder: path, authorityPem, authorities: all, certificates, issued, revoked, problems };
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    throw unusable(`${path} cannot be listed: ${reasonOf(errno)}`, cause);
  }
}

interface Parsed {
  readonly x509: X509Certificate;
  readonly authority: Authority;
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function parseAuthorities(file: string, text: string): readonly [Parsed, ...Parsed[]] {
  const [first, ...others] = [...text.matchAll(PEM)].map(([pem]): Parsed => {
    const x509 = parsePem(file, pem);
    if (!x509.ca) throw unusable(`${file} holds a certificate that is not that of an authority`);
    return { x509, authority: { file, pem: `${pem}\n`, ...datesOf(x509) } };
  });
  if (first === undefined) throw unusable(`${file} holds no certificate in PEM`);
  return [first, ...others];
}

function parsePem(file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw unusable(`${file} is not a certificate in PEM: ${messageOf(cause)}`, cause);
  }
}

function datesOf(x509: X509Certificate): { readonly notBeforeMs: number; readonly expiresMs: number } {
  return { notBeforeMs: Date.parse(x509.validFrom), expiresMs: Date.parse(x509.validTo) };
}

interface One {
  readonly path: string;
  readonly title: string;
  readonly authorities: readonly Parsed[];
  readonly revoked: ReadonlySet<string>;
  readonly hasKey: boolean;
}

async function readOne({ path, title, authorities, revoked, hasKey }: One): Promise<Certificate> {
  const file = join(path, `${title}.crt`);
  if (subjectOfTitle(title) === null)
    throw unusable(`${file} is not called KIND-NAME.crt, KIND being node, host or user`);
  const pem = await readOwn(file);
  if (pem === null) throw unusable(`${file} has gone`);
  const x509 = parsePem(file, pem);
  const subject = parseSubject(x509.subject);
  if (subject === null) {
    throw unusable(`${file} is of "${x509.subject.replaceAll('\n', ', ')}", which is not a subject of this program`);
  }
  if (titleOf(subject) !== title) throw unusable(`${file} is the certificate of ${titleOf(subject)}`);
  if (!authorities.some((one) => x509.checkIssued(one.x509) && x509.verify(one.x509.publicKey))) {
    throw unusable(`${file} was not signed by the authority in ${join(path, AUTHORITY)}`);
  }
  const serial = serialOf(x509);
  return {
    ...subject,
    ...datesOf(x509),
    ...{ serial, title, file, keyFile: join(path, `${title}.key`), hasKey, pem, revoked: revoked.has(serial) },
    distinguishedName: distinguishedNameOf(subject),
    addresses: addressesOf(x509.subjectAltName),
  };
}

/** As Node.js tells it of a peer too ("0A3F"), in our way. */
export function serialOf({ serialNumber }: { readonly serialNumber: string }): string {
  return serialNumber.toLowerCase().replace(/^0+(?=.)/, '');
}

/**
 * "DNS:san-a, IP Address:10.20.0.1" as a list. Our own names need no quotes; another program's are left as they are.
 */
function addressesOf(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  return text.split(', ').map((part) => part.replace(/^(DNS|IP Address):/, ''));
}

export function findCertificate(
  { certificates }: Pick<Certificates, 'certificates'>,
  kind: CertificateKind,
  name: string,
): Certificate | null {
  return certificates.find((one) => one.kind === kind && one.name === name) ?? null;
}

/** Titles that a name or a title means: of "web1", "host-web1" and "node-web1", those that are there. */
export function titlesOf({ certificates, issued }: Certificates, name: string): readonly string[] {
  const titles = [...new Set([...certificates.map(({ title }) => title), ...issued])];
  if (titles.includes(name)) return [name];
  return titles.filter((title) => subjectOfTitle(title)?.name === name);
}

/** @throws CERTIFICATE_UNKNOWN when the folder has no certificate of that name; CERTIFICATE_INVALID for its key */
export async function readKeyPair(certificates: Certificates, kind: CertificateKind, name: string): Promise<KeyPair> {
  const certificate = findCertificate(certificates, kind, name);
  if (certificate === null) {
    const title = titleOf({ kind, name });
    const why = certificates.problems.find((line) => line.includes(`/${title}.crt `));
    if (why !== undefined) throw unusable(why);
    throw new UnderstudyError(
      'CERTIFICATE_UNKNOWN',
      `${certificates.folder} has no ${title}.crt: "understudy pki issue ${kind} ${name}" makes one`,
    );
  }
  return { certificate, key: await readKeyOf(certificate.file, certificate.pem, certificate.keyFile) };
}

/** @throws CERTIFICATE_INVALID unless the key is private and belongs to the certificate */
export async function readKeyOf(certificateFile: string, pem: string, keyFile: string): Promise<string> {
  const key = await readOwn(keyFile, { secret: true });
  if (key === null) throw unusable(`${keyFile}, the key of ${certificateFile}, does not exist`);
  if (belongs(pem, key, keyFile)) return key;
  throw unusable(`${keyFile} is not the key of ${certificateFile}`);
}

function belongs(pem: string, key: string, keyFile: string): boolean {
  try {
    return new X509Certificate(pem).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    // What OpenSSL says may not quote the key, and says nothing to people either.
    throw unusable(`${keyFile} is not a key in PEM without a passphrase`, cause);
  }
}
