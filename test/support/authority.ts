// A private authority in a folder of a test's own, with certificates as `understudy pki` makes them, and some that it
// never would.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Certificate,
  type CertificateKind,
  type Certificates,
  initAuthority,
  issueCertificate,
  readCertificates,
  revokeCertificates,
  type UserRole,
} from '../../src/pki/mod.ts';

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

export class TestAuthority {
  readonly folder: string;

  static async make(): Promise<TestAuthority> {
    const authority = new TestAuthority(mkdtempSync(join(tmpdir(), 'ust-pki-')));
    await initAuthority({ folder: authority.folder });
    return authority;
  }

  private constructor(folder: string) {
    this.folder = folder;
  }

  get authorityPem(): string {
    return readFileSync(this.path('ca.crt'), 'utf8');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  node(name: string, addresses: readonly string[] = ['127.0.0.1']): Promise<Certificate> {
    return this.#issue('node', name, null, addresses);
  }

  host(name: string): Promise<Certificate> {
    return this.#issue('host', name, null, []);
  }

  user(name: string, role: UserRole): Promise<Certificate> {
    return this.#issue('user', name, role, []);
  }

  #issue(
    kind: CertificateKind,
    name: string,
    role: UserRole | null,
    addresses: readonly string[],
  ): Promise<Certificate> {
    return issueCertificate({ folder: this.folder, subject: { kind, name, role }, addresses });
  }

  /** Certificate and key of "user-alice". */
  pem(title: string): Pem {
    const read = (end: string): string => readFileSync(this.path(`${title}.${end}`), 'utf8');
    return { cert: read('crt'), key: read('key') };
  }

  read(): Promise<Certificates> {
    return readCertificates(this.folder);
  }

  /** Puts a certificate with the same key and any subject in place, with the days that it has left: -1 is expired. */
  replace(title: string, subject: string, days: number, purpose = 'serverAuth,clientAuth'): void {
    const [request, extensions, made] = [this.path('.request'), this.path('.extensions'), this.path('.made')];
    writeFileSync(extensions, `extendedKeyUsage=${purpose}\nsubjectAltName=IP:127.0.0.1\n`);
    this.#openssl(['req', '-new', '-key', this.path(`${title}.key`), '-subj', subject, '-out', request]);
    const signer = ['-CA', this.path('ca.crt'), '-CAkey', this.path('ca.key'), '-extfile', extensions];
    this.#openssl(['x509', '-req', '-in', request, ...signer, '-days', String(days), '-out', made]);
    renameSync(made, this.path(`${title}.crt`));
    for (const path of [request, extensions]) rmSync(path);
  }

  #openssl(args: readonly string[]): void {
    execFileSync('openssl', args, { stdio: 'ignore' });
  }

  async revoke(title: string): Promise<void> {
    await revokeCertificates(this.folder, title, Date.now());
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
