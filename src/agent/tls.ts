// Whom the agent believes, and what it shows: PEM in files, or in the settings themselves.
import { readFile } from 'node:fs/promises';
import { errnoOf, UnderstudyError } from '../base/mod.ts';
import { readKeyOf } from '../pki/mod.ts';

/** Where a text is. */
export type Source =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string };

export interface AgentTls {
  /** PEM certificates that the controller's is checked with; null: the system's. */
  readonly authorityPem: string | null;
  /** Of this host, shown to the controller; null: none. */
  readonly pair: { readonly cert: string; readonly key: string } | null;
}

export interface TlsSources {
  readonly cert: Source | null;
  /** null: beside the certificate's file. */
  readonly key: Source | null;
  readonly authority: Source | null;
}

/**
 * @param settings the file of the settings, for messages
 * @throws CERTIFICATE_INVALID, CONFIG_UNREADABLE, CONFIG_INVALID
 */
export async function tlsOf({ cert, key, authority }: TlsSources, settings: string): Promise<AgentTls> {
  const authorityPem = authority === null ? null : await textOf(authority);
  if (cert === null) {
    if (key === null) return { authorityPem, pair: null };
    throw new UnderstudyError('CONFIG_INVALID', `${settings}: a key without a certificate`);
  }
  const pem = await textOf(cert);
  return { authorityPem, pair: { cert: pem, key: await keyOf(cert, pem, key, settings) } };
}

async function keyOf(cert: Source, pem: string, key: Source | null, settings: string): Promise<string> {
  if (key?.kind === 'text') return key.text;
  const certFile = cert.kind === 'file' ? cert.path : settings;
  if (key !== null) return readKeyOf(certFile, pem, key.path);
  if (cert.kind === 'file') return readKeyOf(certFile, pem, `${cert.path.replace(/\.(crt|pem)$/, '')}.key`);
  throw new UnderstudyError('CONFIG_INVALID', `${settings}: a certificate without a key`);
}

async function textOf(source: Source): Promise<string> {
  if (source.kind === 'text') return source.text;
  try {
    return await readFile(source.path, 'utf8');
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    throw new UnderstudyError('CONFIG_UNREADABLE', `${source.path} cannot be read: ${errno}`, { cause });
  }
}
