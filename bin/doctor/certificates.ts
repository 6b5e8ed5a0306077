// What is encrypted and what is not, and certificates: there, private, for the right names, and how long they are
// good for.
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { isLoopback } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration, TlsConfig } from '../../src/config/mod.ts';
import { type Certificates, expiriesOf, readCertificates, readKeyPair } from '../../src/pki/mod.ts';
import { checked, type Finding, failure, warning } from './check.ts';

const REMEDY = 'docs/tls.md says how certificates are made';

export async function* examineCertificates(configuration: Configuration): AsyncIterable<Check> {
  const { api, tls } = configuration;
  yield checked('encryption', 'api', null, () => encryption(configuration));
  if (tls === null) return;
  let read: Certificates | null = null;
  yield checked('certificate', `node-${tls.name}`, REMEDY, async () => {
    read = await readCertificates(tls.folder);
    return ownPair(read, tls, new URL(api.advertise).hostname);
  });
  if (read === null) return;
  const { problems } = read as Certificates;
  for (const { title, expiresMs, state, notice } of expiriesOf(read, Date.now())) {
    const detail = `until ${new Date(expiresMs).toISOString().slice(0, 10)}`;
    yield checked('expiry', title, null, () => {
      if (notice === null) return detail;
      return { state: state === 'expired' ? 'failed' : 'warning', detail: notice, remedy: REMEDY };
    });
  }
  for (const problem of problems) yield checked('certificate', tls.folder, null, () => warning(problem, REMEDY));
}

function encryption({ api, tls }: Configuration): Finding | string {
  if (tls !== null) return 'TLS 1.3';
  if (isLoopback(api.host)) return `${api.host} is reached from this machine only`;
  const text = `${api.host} is not encrypted (api.insecure): whoever can read the network has every token`;
  return warning(text, 'set tls (docs/tls.md)');
}

async function ownPair(certificates: Certificates, { name }: TlsConfig, advertised: string): Promise<Finding | string> {
  const { certificate } = await readKeyPair(certificates, 'node', name);
  if (certificate.revoked) return failure('was revoked', `understudy pki issue node ${name}`);
  const host = advertised.replace(/^\[(.*)\]$/, '$1');
  const x509 = new X509Certificate(certificate.pem);
  const matches = isIP(host) === 0 ? x509.checkHost(host) : x509.checkIP(host);
  if (matches === undefined && !isLoopback(host)) {
    return failure(
      `is not for ${host}, which agents are told (api.advertise)`,
      `revoke it, and make another one: understudy pki issue node ${name} --address ${host}`,
    );
  }
  return `for ${certificate.addresses.join(', ')}`;
}
