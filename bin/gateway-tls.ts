// What gateways and machines prove themselves with, from the folder of certificates.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, isLoopback, UnderstudyError } from '../src/base/mod.ts';
import type { Configuration } from '../src/config/mod.ts';
import {
  findCertificate,
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
  const revocations = await signedRevocations(folder);
  return {
    authority: certificates.authorityPem,
    revocations,
    revokedSerials,
    certificate: certificate.pem,
    key,
    hostCertificate: own?.pem ?? null,
    refused: refusalOf(host, own?.revoked === true, revokedSerials, revocations),
  };
}

/**
 * GnuTLS takes the signed list only. Without the authority's key it falls behind, and then nobody could tell old from
 * new.
 */
function refusalOf(
  host: string,
  revoked: boolean,
  serials: readonly string[],
  revocations: string | null,
): string | null {
  if (revoked) return `the certificate of ${host} was revoked`;
  const listed = Buffer.from((revocations ?? '').replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  if (serials.every((serial) => listed.includes(integerOf(serial)))) return null;
  return `a certificate of ${host} was revoked, and ${REVOCATION_LIST} does not list it: sign it with the authority's key`;
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
