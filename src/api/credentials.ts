// What the server shows, and whom it believes: the certificates of src/pki on a server that listens. Renewed and
// revoked ones are taken up while connections go on.
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { type SecureContextOptions, TLSSocket, type TlsOptions } from 'node:tls';
import { codeOf, type Log, messageOf } from '../base/mod.ts';
import type { TlsConfig } from '../config/mod.ts';
import {
  type Certificates,
  certificateReason,
  type Expiry,
  expiriesOf,
  type KeyPair,
  parseSubject,
  readCertificates,
  readKeyPair,
  type Subject,
  serialOf,
  titleOf,
  watchCertificates,
} from '../pki/mod.ts';
import { type Identity, type IdentitySource, isIdentity, type Refusal } from './authentication.ts';

/** Whoever connects and says nothing is let go. */
const HANDSHAKE_MS = 5000;

export interface Told {
  /** Told that certificates were taken up, or cannot be. */
  readonly log: Log;
}

export class Credentials implements IdentitySource {
  readonly #tls: TlsConfig;
  readonly #log: Log;
  #certificates: Certificates;
  #pair: KeyPair;
  readonly #connections = new Set<TLSSocket>();
  /** Why the folder cannot be read at present; what was read before holds. */
  #trouble: string | null = null;

  /** @throws CERTIFICATE_INVALID, CERTIFICATE_UNKNOWN */
  static async open(tls: TlsConfig, { log }: Told): Promise<Credentials> {
    const certificates = await readCertificates(tls.folder);
    return new Credentials(tls, log, certificates, await readKeyPair(certificates, 'node', tls.name));
  }

  private constructor(tls: TlsConfig, log: Log, certificates: Certificates, pair: KeyPair) {
    this.#tls = tls;
    this.#log = log;
    this.#certificates = certificates;
    this.#pair = pair;
  }

  /** For node:https: everybody may connect; who is told apart by certificate or token. */
  get serverOptions(): TlsOptions {
    return {
      ...this.#context,
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_MS,
      ALPNProtocols: ['http/1.1'],
    };
  }

  get #context(): SecureContextOptions {
    const { authorityPem } = this.#certificates;
    return { minVersion: 'TLSv1.3', ca: authorityPem, cert: this.#pair.certificate.pem, key: this.#pair.key };
  }

  /** One line for each thing that somebody has to see to. */
  warnings(nowMs: number): readonly string[] {
    const notices = this.expiries(nowMs).flatMap(({ notice }) => notice ?? []);
    return [...(this.#trouble === null ? [] : [this.#trouble]), ...notices, ...this.#certificates.problems];
  }

  expiries(nowMs: number): readonly Expiry[] {
    return expiriesOf(this.#certificates, nowMs);
  }

  /** Takes up changes of the folder until the signal. */
  follow(server: Server, signal: AbortSignal): void {
    server.on('secureConnection', (socket) => {
      this.#connections.add(socket);
      socket.once('close', () => this.#connections.delete(socket));
    });
    watchCertificates(this.#tls.folder, { signal, onChange: () => this.#reload(server) });
  }

  async #reload(server: Server): Promise<void> {
    try {
      const certificates = await readCertificates(this.#tls.folder);
      const pair = await readKeyPair(certificates, 'node', this.#tls.name);
      const sameAuthority = certificates.authorityPem === this.#certificates.authorityPem;
      this.#certificates = certificates;
      this.#pair = pair;
      // Connections that are there go on with what they have agreed on (tls.Server.setSecureContext).
      server.setSecureContext(this.#context);
      this.#trouble = null;
      this.#end((peer) => !isIdentity(peer) || !sameAuthority);
      const until = isoDay(pair.certificate.expiresMs);
      this.#log({ level: 'info', message: `certificates read again: ${pair.certificate.title} until ${until}` });
    } catch (error) {
      if (codeOf(error) === null) throw error;
      this.#trouble = `certificates cannot be read, and those of before are still used: ${messageOf(error)}`;
      this.#log({ level: 'error', message: this.#trouble, code: codeOf(error) });
    }
  }

  /**
   * Requests of the refused would fail; what is under way, a stream of events among it, ends too. Whom another
   * authority has vouched for is to show a certificate again.
   */
  #end(isToEnd: (peer: Identity | Refusal) => boolean): void {
    for (const socket of this.#connections) {
      const peer = this.#peerOf(socket);
      if (peer !== null && isToEnd(peer)) socket.destroy();
    }
  }

  /**
   * Asked for each request: a certificate can expire or be revoked during a connection. One that is not accepted is
   * told, and no token makes up for it, so that its user notices.
   */
  authenticate({ socket }: IncomingMessage): Identity | Refusal | null {
    return this.#peerOf(socket);
  }

  /** null: it has shown no certificate. */
  #peerOf(socket: Socket): Identity | Refusal | null {
    if (!(socket instanceof TLSSocket)) return null;
    const x509 = socket.getPeerX509Certificate();
    if (x509 === undefined) return null;
    const subject = parseSubject(x509.subject);
    const identity = identityOf(subject);
    const refusal = this.#refusalOf(socket, x509);
    if (refusal === null && identity !== null) return identity;
    const whose =
      subject === null ? 'not one of a user or a host' : `of ${titleOf(subject)}, and only users and hosts ask`;
    const who = subject !== null && this.#isOurs(x509) ? subject.name : null;
    return { refusal: refusal ?? `this certificate is ${whose}`, who };
  }

  /** Also one that has expired or was revoked. Of others even the name is only what they say. */
  #isOurs(x509: X509Certificate): boolean {
    const authorities = this.#certificates.authorities.map(({ pem }) => new X509Certificate(pem));
    return authorities.some((one) => x509.checkIssued(one) && x509.verify(one.publicKey));
  }

  #refusalOf(socket: TLSSocket, x509: X509Certificate): string | null {
    if (Date.parse(x509.validTo) <= Date.now()) return `this certificate has expired on ${x509.validTo}`;
    if (!socket.authorized) {
      return `this certificate is not accepted: ${certificateReason(String(socket.authorizationError))}`;
    }
    if (this.#certificates.revoked.has(serialOf(x509))) return 'this certificate was revoked';
    return null;
  }
}

function identityOf(subject: Subject | null): Identity | null {
  if (subject === null) return null;
  const { kind, name, role, services = null } = subject;
  if (kind === 'host') return { name, kind: 'certificate', role: 'agent', services: null };
  return kind === 'user' && role !== null ? { name, kind: 'certificate', role, services } : null;
}

function isoDay(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
