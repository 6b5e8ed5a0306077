// ca.crl: the list of what was revoked, signed (RFC 5280, 5), for programs that take nothing else, as GnuTLS in QEMU
// does. It is made whenever the authority's key is at hand; the API reads `revoked` and does not wait for it.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Certificates } from './contract.ts';
import { DAY_MS } from './expiry.ts';
import { AUTHORITY } from './folder.ts';
import { readIssued, readRevoked, replaceFile } from './lists.ts';
import { inWorkFolder, openssl } from './sign.ts';

export const REVOCATION_LIST = 'ca.crl';

/** @throws TOOL_MISSING, CERTIFICATE_FAILED */
export async function writeRevocationList({ folder, authorities }: Certificates, keyFile: string): Promise<void> {
  const issued = new Map((await readIssued(folder)).map((one) => [one.serial, one.expiresMs] as const));
  // As CA.pl keeps it (openssl-ca(1), "index.txt"): state, expiry, time of revocation, serial number, file, subject.
  const rows = (await readRevoked(folder)).map(({ serial, title, atMs }) => {
    const expires = utcTime(issued.get(serial) ?? atMs);
    return ['R', expires, utcTime(atMs), evenHex(serial), 'unknown', `/CN=${title}`].join('\t');
  });
  // As long as the authority itself: readers refuse a list that is out of date, and it is made again with each change.
  const days = Math.max(1, Math.ceil(((authorities[0]?.expiresMs ?? 0) - Date.now()) / DAY_MS));
  const text = await inWorkFolder(folder, async (work) => {
    const [index, config, made] = [join(work, 'index.txt'), join(work, 'config'), join(work, 'made.pem')];
    await writeFile(index, rows.map((row) => `${row}\n`).join(''));
    await writeFile(config, `[ca]\ndefault_ca=own\n[own]\ndatabase=${index}\ndefault_md=sha256\nunique_subject=no\n`);
    const authority = ['-cert', join(folder, AUTHORITY), '-keyfile', keyFile];
    await openssl(['ca', '-gencrl', '-config', config, ...authority, '-crldays', String(days), '-out', made]);
    return readFile(made, 'utf8');
  });
  await replaceFile(join(folder, REVOCATION_LIST), text, 0o644);
}

/** UTCTime, YYMMDDHHMMSSZ. */
function utcTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`;
}

function evenHex(serial: string): string {
  return (serial.length % 2 === 0 ? serial : `0${serial}`).toUpperCase();
}
