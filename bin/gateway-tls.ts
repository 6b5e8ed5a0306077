// What gateways and machines prove themselves with, from the folder of certificates.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, isLoopback, UnderstudyError } from '../src/base/mod.ts';
import type { Configuration } from '../src/config/mod.ts';
import {
  distinguishedNameOf,
  findCertificate,
  ownRevocationList,
  REVOCATION_LIST,
  readCertificates,
  readIssued,
  readKeyPair,
  titleOf,
} from '../src/pki/mod.ts';
import type { MachineCertificates } from '../src/power/mod.ts';
import type { GatewayCertificates, GatewayTls } from '../src/storage/mod.ts';

/** @param name of the node, whose certificate gateways present */
export function gatewayTls(folder: string, name: string): GatewayTls {
  return { name, read: (host) => readAll(folder, name, host) };
}

async function readAll(folder: string, node: string, host: string): Promise<GatewayCertificates> {
  const certificates = await readCertificates(folder);
  const { certificate, key } = await readKeyPair(certificates, 'node', node);
  const own = findCertificate(certificates, 'host', host);
  const issued = await readIssued(certificates.folder);
  const revokedSerials = issued
    .filter(({ title, serial }) => title === titleOf({ kind: 'host', name: host }) && certificates.revoked.has(serial))
    .map(({ serial }) => serial);
  const signed = await signedRevocations(folder);
  return {
    distinguishedName: distinguishedNameOf({ kind: 'host', name: host, role: null }),
    authority: certificates.authorityPem,
    // Without the authority's key the signed list falls behind, and GnuTLS would take an earlier certificate of the
    // host for the one that it has now.
    revocations: lists(signed, revokedSerials) ? signed : await ownRevocationList(certificates),
    revokedSerials,
    certificate: certificate.pem,
    key,
    hostCertificate: own?.pem ?? null,
    refused: own?.revoked === true ? `the certificate of ${host} was revoked` : null,
  };
}

function lists(revocations: string | null, serials: readonly string[]): boolean {
  const listed = Buffer.from((revocations ?? '').replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  return serials.every((serial) => listed.includes(integerOf(serial)));
}

/** A serial number as it stands in a certificate revocation list (X.690, 8.3). */
function integerOf(serial: string): Buffer {
  const digits = Buffer.from(serial.length % 2 === 0 ? serial : `0${serial}`, 'hex');
  const bytes = (digits[0] ?? 0) < 0x80 ? digits : Buffer.concat([Buffer.alloc(1), digits]);
  return Buffer.concat([Buffer.from([0x02, bytes.length]), bytes]);
}

async function signedRevocations(folder: string): Promise<string | null> {
  try {
    return await readFile(join(folder, REVOCATION_LIST), 'utf8');
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null;
    throw new UnderstudyError('CERTIFICATE_INVALID', `${folder}/${REVOCATION_LIST} cannot be read`, { cause });
  }
}

/** What the machine of a host gets, so that it can come to its gateway. */
export function machineCertificates(folder: string, node: string): (host: string) => Promise<MachineCertificates> {
  return async (host) => {
    const certificates = await readCertificates(folder);
    const { certificate, key } = await readKeyPair(certificates, 'host', host);
    return { serverName: node, authority: certificates.authorityPem, certificate: certificate.pem, key };
  };
}

/** What is to be told where volumes go over a network in plain text; null where none do. */
export function insecureVolumes({ storage, tls }: Pick<Configuration, 'storage' | 'tls'>): string | null {
  const { listen, insecure } = storage;
  const protectedBy = listen.kind === 'range' && !insecure ? tls : null;
  if (listen.kind === 'unix' || isLoopback(listen.host) || protectedBy !== null) return null;
  return `volumes at ${listen.host} are not encrypted (storage.insecure): whoever reaches it reads and writes every disk`;
}
