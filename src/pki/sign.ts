// Certificates are made by openssl(1), which every administrator can ask what it did. Keys are made in this process,
// so that no key but the authority's is ever read by another program, and it from a file that its owner alone can
// read.
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { requireTool, runTool, UnderstudyError } from '../base/mod.ts';
import type { CertificateKind } from './contract.ts';

/** A key of its own on P-256, which TLS 1.3 asks every implementation to have (RFC 8446, 9.1). PKCS #8 in PEM. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** SubjectPublicKeyInfo in PEM. */
export function publicKeyOf(keyOrCertificate: string): string {
  return createPublicKey(keyOrCertificate).export({ type: 'spki', format: 'pem' }) as string;
}

/** 126 random bits: positive, and the first octet never zero (RFC 5280, 4.1.2.2: at most 20 octets). */
export function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

/** What a certificate may be used for; the authority may sign, and no authority below it. */
export function extensionsOf(kind: CertificateKind | 'authority', addresses: readonly string[]): readonly string[] {
  if (kind === 'authority') {
    return [
      'basicConstraints=critical,CA:TRUE,pathlen:0',
      'keyUsage=critical,keyCertSign,cRLSign',
      'subjectKeyIdentifier=hash',
    ];
  }
  const names = addresses.map((address) => `${isIP(address) === 0 ? 'DNS' : 'IP'}:${address}`);
  return [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=digitalSignature',
    // A host or a user that poses as a server is refused by whoever connects to it.
    `extendedKeyUsage=${kind === 'node' ? 'serverAuth,clientAuth' : 'clientAuth'}`,
    'subjectKeyIdentifier=hash',
    'authorityKeyIdentifier=keyid',
    ...(names.length === 0 ? [] : [`subjectAltName=${names.join(',')}`]),
  ];
}

export interface Signing {
  /** In which a work folder is made: never a folder that others may enter. */
  readonly folder: string;
  readonly serial: string;
  /** As openssl's -subj takes it. */
  readonly subject: string;
  readonly extensions: readonly string[];
  readonly days: number;
  /** Of the authority. */
  readonly keyFile: string;
  /** null: the key signs itself. */
  readonly issued: { readonly authorityFile: string; readonly publicKey: string } | null;
}

/** @returns the certificate in PEM @throws TOOL_MISSING, CERTIFICATE_FAILED */
export function sign({ folder, serial, subject, extensions, days, keyFile, issued }: Signing): Promise<string> {
  return inWorkFolder(folder, async (work) => {
    const [made, extensionFile, publicFile] = ['made.pem', 'extensions', 'public.pem'].map((name) => join(work, name));
    if (made === undefined || extensionFile === undefined || publicFile === undefined) throw new Error('three names');
    await writeFile(extensionFile, `${extensions.join('\n')}\n`);
    if (issued !== null) await writeFile(publicFile, issued.publicKey);
    const signer =
      issued === null
        ? ['-key', keyFile]
        : ['-CA', issued.authorityFile, '-CAkey', keyFile, '-force_pubkey', publicFile];
    const what = ['-new', '-subj', subject, '-set_serial', `0x${serial}`, '-days', String(days), '-sha256'];
    await openssl(['x509', ...what, ...signer, '-extfile', extensionFile, '-out', made]);
    return readFile(made, 'utf8');
  });
}

export async function inWorkFolder<T>(folder: string, use: (work: string) => Promise<T>): Promise<T> {
  const work = await mkdtemp(join(folder, '.work-'));
  try {
    return await use(work);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** @throws TOOL_MISSING, CERTIFICATE_FAILED */
export async function openssl(args: readonly string[]): Promise<void> {
  const { status, stderr } = await runTool(requireTool('openssl', 'openssl'), args);
  if (status === 0) return;
  const lines = stderr.trim().split('\n');
  throw new UnderstudyError(
    'CERTIFICATE_FAILED',
    `openssl ${args[0]} failed: ${lines.slice(0, 3).join(' ').slice(0, 300)}`,
  );
}
