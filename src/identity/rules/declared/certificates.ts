// Certificates that name the host itself (X.509, RFC 5280). The name may just as well be that of the site which the clone is to serve.
import { X509Certificate } from 'node:crypto';
import type { HostIdentity } from '../../contract.ts';
import { fullNameOf } from '../../correspondence.ts';
import { type FileTree, readText } from '../../tree/mod.ts';
import type { Rule } from '../contract.ts';
import { finding } from '../finding.ts';
import { filesAt } from '../glob.ts';
import { hostNameIn } from '../host-name.ts';

const RULE = 'certificates';
const WHY =
  'It is made out to the lead. Right for who reaches the clone by that name; by its own name clients refuse it, and as its proof of who it is it serves two.';
/** Not the bundles of authorities, which are thousands and name no host. */
const PLACES = [
  '/etc/ssl/*.{pem,crt,cer}',
  '/etc/ssl/{certs,private,nginx,apache2}/ssl-cert-*.pem',
  '/etc/ssl/{private,nginx,apache2,local,server}/*.{pem,crt,cer}',
  '/etc/{nginx,apache2,httpd,haproxy,postfix,dovecot,exim4,ldap,postgresql,mysql,cockpit,webmin}/**/*.{pem,crt,cer,cert}',
  '/etc/letsencrypt/live/*/cert.pem',
  '/etc/pki/tls/certs/localhost.crt',
  '/etc/pki/{nginx,httpd}/*.{pem,crt}',
  '/var/lib/{postgresql,mysql}/**/server{,-cert}.{crt,pem}',
];
const FILES_MAX = 500;
const CERTIFICATES_MAX = 20;

export const certificatesRule: Rule = {
  name: RULE,
  async find(tree, { lead }) {
    const names = await namesOf(tree, lead);
    const { files } = await filesAt(tree, PLACES);
    const found = [];
    for (const { path } of files.slice(0, FILES_MAX)) {
      const file = await readText(tree, path);
      const subject = file.status === 'text' ? subjectOf(file.text, names) : null;
      if (subject === null) continue;
      found.push(finding({ rule: RULE, path, value: subject, why: WHY, action: 'keep', confidence: 'likely' }));
    }
    return found;
  },
  change: async () => [],
  verify: async () => [],
};

async function namesOf(tree: FileTree, lead: HostIdentity | null): Promise<readonly string[]> {
  const own = lead === null ? [await hostNameIn(tree)] : [lead.hostName, fullNameOf(lead)];
  return own.filter((name) => name !== null && name !== '').map((name) => String(name).toLowerCase());
}

/** The name that is the host's, by its subject or as an alternative name; null when none of them is. */
function subjectOf(text: string, names: readonly string[]): string | null {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]{1,20000}?-----END CERTIFICATE-----/g) ?? [];
  for (const block of blocks.slice(0, CERTIFICATES_MAX)) {
    try {
      const { subject = '', subjectAltName = '' } = new X509Certificate(block);
      const held = [...subject.matchAll(/^CN=(.+)$/gm), ...subjectAltName.matchAll(/DNS:([^,\s]+)/g)].map(
        (one) => one[1] ?? '',
      );
      const own = held.find((name) =>
        names.some((one) => name.toLowerCase() === one || name.toLowerCase().startsWith(`${one}.`)),
      );
      if (own !== undefined) return own;
    } catch {
      // What only looks like a certificate names nobody.
    }
  }
  return null;
}
