// What OpenSSL and Node.js say of a connection that was not trusted (x509_verify_cert(3), "ERROR CODES"), in words
// for people.
import { messageOf } from '../base/mod.ts';

const OTHER_AUTHORITY = 'another authority has signed it';

const OF_CERTIFICATES: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT: OTHER_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: OTHER_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: OTHER_AUTHORITY,
  CERT_SIGNATURE_FAILURE: OTHER_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: OTHER_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it has signed itself',
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet; is a clock wrong?',
  INVALID_PURPOSE: 'it was not made for this purpose',
};

/** The reason why a certificate was not accepted; a code that is not known is told as it is. */
export function certificateReason(code: string): string {
  return OF_CERTIFICATES[code] ?? code;
}

/**
 * Why the other side of a connection is not trusted, or speaks no TLS that we do: "its certificate is not accepted:
 * it has expired". null for any other failure, which may be over soon.
 */
export function trustProblem(error: unknown): string | null {
  const { code, reason } = Object(error) as { readonly code?: unknown; readonly reason?: unknown };
  if (typeof code !== 'string') return null;
  if (OF_CERTIFICATES[code] !== undefined) return `its certificate is not accepted: ${OF_CERTIFICATES[code]}`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `its certificate is for another name: ${typeof reason === 'string' ? reason : messageOf(error)}`;
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'it does not speak TLS';
  if (code === 'ERR_SSL_UNSUPPORTED_PROTOCOL' || code === 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION') {
    return 'it does not speak TLS 1.3';
  }
  return null;
}
