// ca.crl: the list of what was revoked, signed (RFC 5280, 5), for programs that take nothing else, as GnuTLS in QEMU
// does. It is made whenever the authority's key is at hand; the API reads `revoked` and does not wait for it, and
// gateways get a list of ours where it falls behind.
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Certificates } from './contract.ts';
import { DAY_MS } from './expiry.ts';
import { AUTHORITY } from './folder.ts';
import { readIssued, readRevoked, replaceFile } from './lists.ts';
import { inWorkFolder, newKey, openssl } from './sign.ts';

export const REVOCATION_LIST = 'ca.crl';

/** @throws TOOL_MISSING, CERTIFICATE_FAILED */
export async function writeRevocationList(certificates: Certificates, keyFile: string): Promise<void> {
  const { folder } = certificates;
  const text = await inWorkFolder(folder, (work) => listIn(work, certificates, join(folder, AUTHORITY), keyFile));
  await replaceFile(join(folder, REVOCATION_LIST), text, 0o644);
}

/**
 * The same list without the authority's key: signed with one that is forgotten, in the authority's name. For programs
 * that believe the list that they are given because of where it lies, as GnuTLS does
 * (gnutls_x509_trust_list_add_crls(3), without GNUTLS_TL_VERIFY_CRL); to others it is worth nothing.
 * @returns PEM @throws TOOL_MISSING, CERTIFICATE_FAILED
 */
export function ownRevocationList(certificates: Certificates): Promise<string> {
  return inWorkFolder(tmpdir(), async (work) => {
    const [keyFile, named] = [join(work, 'key.pem'), join(work, 'named.pem')];
    await writeFile(keyFile, newKey(), { mode: 0o600 });
    await openssl(['x509', '-in', join(certificates.folder, AUTHORITY), '-key', keyFile, '-days', '1', '-out', named]);
    return listIn(work, certificates, named, keyFile);
  });
}

async function listIn(
  work: string,
  { folder, authorities }: Certificates,
  authorityFile: string,
  keyFile: string,
): Promise<string> {
  const issued = new Map((await readIssued(folder)).map((one) => [one.serial, one.expiresMs] as const));
  // As CA.pl keeps it (openssl-ca(1), "index.txt"): state, expiry, time of revocation, serial number, file, subject.
  const rows = (await readRevoked(folder)).map(({ serial, title, atMs }) => {
    const expires = utcTime(issued.get(serial) ?? atMs);
    return ['R', expires, utcTime(atMs), evenHex(serial), 'unknown', `/CN=${title}`].join('\t');
  });
  // As long as the authority itself: readers refuse a list that is out of date, and it is made again with each change.
  const days = Math.max(1, Math.ceil(((authorities[0]?.expiresMs ?? 0) - Date.now()) / DAY_MS));
  const [index, config, made] = [join(work, 'index.txt'), join(work, 'config'), join(work, 'made.pem')];
  await writeFile(index, rows.map((row) => `${row}\n`).join(''));
  await writeFile(config, `[ca]\ndefault_ca=own\n[own]\ndatabase=${index}\ndefault_md=sha256\nunique_subject=no\n`);
  const authority = ['-cert', authorityFile, '-keyfile', keyFile];
  await openssl(['ca', '-gencrl', '-config', config, ...authority, '-crldays', String(days), '-out', made]);
  return readFile(made, 'utf8');
}

/** UTCTime, YYMMDDHHMMSSZ. */
function utcTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`;
}

function evenHex(serial: string): string {
  return (serial.length % 2 === 0 ? serial : `0${serial}`).toUpperCase();
}
