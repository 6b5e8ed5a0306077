// The certificates of a gateway as files that QEMU takes: https://www.qemu.org/docs/master/system/tls.html
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GatewayCertificates } from './contract.ts';

/**
 * A digest of all for which a gateway is started again; `plain` without certificates. The signed list of what was
 * revoked is not in it: it is another one with every certificate that the authority signs, whoever's that is.
 */
export function digestOf(certificates: GatewayCertificates | null): string {
  if (certificates === null) return 'plain';
  const { authority, revokedSerials, certificate, key, hostCertificate, refused } = certificates;
  const parts = [authority, revokedSerials, certificate, key, hostCertificate, refused];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** Nobody else reads them; the gateway reads them once, when it starts. */
export async function writeCredentials(folder: string, certificates: GatewayCertificates): Promise<void> {
  await removeCredentials(folder);
  await mkdir(folder, { mode: 0o700 });
  const { authority, revocations, certificate, key } = certificates;
  const files = { 'ca-cert': authority, 'ca-crl': revocations, 'server-cert': certificate, 'server-key': key };
  for (const [name, text] of Object.entries(files)) {
    if (text !== null) await writeFile(join(folder, `${name}.pem`), text, { mode: 0o600, flag: 'wx' });
  }
}

export async function removeCredentials(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
