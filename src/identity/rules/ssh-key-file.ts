// SSH keys as files: the lines of public keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT), and the head of private ones, which says in
// clear what they are (PROTOCOL.key of OpenSSH).
import { createHash } from 'node:crypto';
import type { SshKeySpec } from './contract.ts';

const MAGIC = 'openssh-key-v1\0';

/** The public part in its wire format (RFC 4253, 6.6); null when the text is no public key. */
export function publicBlob(text: string): Buffer | null {
  const [type, base64] = text.trim().split(/\s+/, 2);
  if (type === undefined || base64 === undefined || !/^[A-Za-z0-9+/]+=*$/.test(base64)) return null;
  const blob = Buffer.from(base64, 'base64');
  return typeName(blob) === type ? blob : null;
}

/** The public part that a private key in OpenSSH's own format carries; null for other formats. */
export function publicBlobOfPrivate(text: string): Buffer | null {
  const body = between(text, 'OPENSSH PRIVATE KEY');
  if (body === null) return null;
  const bytes = Buffer.from(body, 'base64');
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return null;
  // Cipher, key derivation and its options come first; then the number of keys.
  let at: number | null = MAGIC.length;
  for (let index = 0; index < 3 && at !== null; index++) at = stringEnd(bytes, at);
  if (at === null || at + 4 > bytes.length || bytes.readUInt32BE(at) !== 1) return null;
  const end = stringEnd(bytes, at + 4);
  return end === null ? null : bytes.subarray(at + 8, end);
}

function between(text: string, label: string): string | null {
  const start = text.indexOf(`-----BEGIN ${label}-----`);
  const end = text.indexOf(`-----END ${label}-----`);
  return start < 0 || end < start ? null : text.slice(start + label.length + 16, end);
}

/** Where a length-prefixed string ends, or null when it does not. */
function stringEnd(bytes: Buffer, at: number): number | null {
  if (at + 4 > bytes.length) return null;
  const end = at + 4 + bytes.readUInt32BE(at);
  return end <= bytes.length ? end : null;
}

function typeName(blob: Buffer): string | null {
  const end = stringEnd(blob, 0);
  return end === null ? null : blob.toString('latin1', 4, end);
}

/** "SHA256:..." as ssh-keygen -l prints it. */
export function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** What has to be asked of ssh-keygen for another key of this kind; null when the kind is unknown. */
export function specOfBlob(blob: Buffer, comment: string): SshKeySpec | null {
  const name = typeName(blob);
  const curve = /^ecdsa-sha2-nistp(256|384|521)$/.exec(name ?? '')?.[1];
  if (curve !== undefined) return { type: 'ecdsa', bits: Number(curve), comment };
  if (name === 'ssh-rsa') return { type: 'rsa', bits: null, comment };
  if (name === 'ssh-ed25519') return { type: 'ed25519', bits: null, comment };
  return name === 'ssh-dss' ? { type: 'dsa', bits: null, comment } : null;
}

/** The same for private keys in the older PEM format, which name only the family. */
export function specOfPem(text: string, comment: string): SshKeySpec | null {
  if (text.includes('-----BEGIN RSA PRIVATE KEY-----')) return { type: 'rsa', bits: null, comment };
  if (text.includes('-----BEGIN EC PRIVATE KEY-----')) return { type: 'ecdsa', bits: 256, comment };
  return text.includes('-----BEGIN DSA PRIVATE KEY-----') ? { type: 'dsa', bits: null, comment } : null;
}
