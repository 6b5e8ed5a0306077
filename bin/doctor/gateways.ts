// How hosts reach their volumes: with which protection, at an address that is there, with certificates.
import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:net';
import { errnoOf, isLoopback, messageOf } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration, TlsConfig } from '../../src/config/mod.ts';
import { findCertificate, readCertificates, readKeyPair } from '../../src/pki/mod.ts';
import { insecureVolumes } from '../gateway-tls.ts';
import { checked, type Finding, failure, warning } from './check.ts';

const REMEDY = 'docs/tls.md says how certificates are made';

export async function* examineGateways(configuration: Configuration): AsyncIterable<Check> {
  const { storage, tls, hosts } = configuration;
  const { listen, insecure } = storage;
  yield checked('encryption', 'volumes', null, () => encryption(configuration));
  if (listen.kind === 'unix') return;
  yield checked('gateways', listen.host, null, () => address(listen.host));
  if (listen.kind !== 'range' || tls === null || insecure) return;
  yield checked('gateways', `node-${tls.name}`, REMEDY, () => vouchesFor(tls, listen.host));
  for (const { name, power } of hosts.values()) {
    // A machine of ours is given the certificate; other hosts have theirs.
    yield checked('certificate', `host-${name}`, REMEDY, () => ofHost(tls, name, power.driver === 'qemu'));
  }
}

function encryption(configuration: Configuration): Finding | string {
  const { listen } = configuration.storage;
  if (listen.kind === 'unix') return 'hosts use a Unix socket of this machine';
  const insecure = insecureVolumes(configuration);
  if (insecure !== null) {
    return warning(insecure, 'set tls (docs/tls.md), and in storage.listen a port for each host, without insecure');
  }
  if (listen.kind === 'range' && configuration.tls !== null) return 'TLS 1.3, a gateway for each host';
  return `${listen.host} is reached from this machine only`;
}

/** Can be listened at, at any port. */
function address(host: string): Promise<Finding | string> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => {
      const remedy = 'give this machine the address, or name another one in storage.listen';
      resolve(failure(errnoOf(error) === 'EADDRNOTAVAIL' ? 'is not an address here' : messageOf(error), remedy));
    });
    server.listen({ host, port: 0 }, () => server.close(() => resolve('is an address of this machine')));
  });
}

async function vouchesFor({ folder, name }: TlsConfig, host: string): Promise<Finding | string> {
  const { certificate } = await readKeyPair(await readCertificates(folder), 'node', name);
  if (new X509Certificate(certificate.pem).checkIP(host) !== undefined) return `vouches for ${host}`;
  if (isLoopback(host)) return `vouches for ${name}`;
  return warning(
    `does not vouch for ${host}: hosts other than virtual machines of this installation have to expect ${name}`,
    `understudy pki issue node ${name} --address ${host}`,
  );
}

async function ofHost({ folder }: TlsConfig, host: string, isMachine: boolean): Promise<Finding | string> {
  const certificates = await readCertificates(folder);
  const found = findCertificate(certificates, 'host', host);
  if (found?.revoked === true) return failure('was revoked', `understudy pki issue host ${host}`);
  if (isMachine) await readKeyPair(certificates, 'host', host);
  return found === null ? 'is kept by the host itself' : 'opens the gateway of this host, and no other';
}
