// The folder of certificates: what is made, what is read, and what is refused with a message that says what to do.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOf, messageOf } from '../../src/base/mod.ts';
import {
  expiringWithin,
  initAuthority,
  issueCertificate,
  readKeyPair,
  renewCertificate,
  revokeCertificates,
  watchCertificates,
} from '../../src/pki/mod.ts';
import { TestAuthority } from '../support/authority.ts';

const DAY_MS = 86_400_000;

let authority: TestAuthority;
beforeEach(async () => {
  authority = await TestAuthority.make();
});
afterEach(() => authority.remove());

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (cause: unknown) => cause,
  );
  return error === null ? 'no refusal' : `${codeOf(error)}: ${messageOf(error)}`;
}

describe('what is made', () => {
  it('pki - subjects, purposes, addresses, a folder of 0700 and keys of 0600', async () => {
    await authority.node('san-a', ['10.20.0.1', '::1', 'san-a.example.org']);
    await authority.host('web1');
    await authority.user('alice@example.org', 'operator');
    const { certificates, authorities, problems } = await authority.read();
    expect(problems).toEqual([]);
    expect(certificates.map(({ title, distinguishedName, role }) => [title, distinguishedName, role])).toEqual([
      ['host-web1', 'O=understudy,OU=host,CN=web1', null],
      ['node-san-a', 'O=understudy,OU=node,CN=san-a', null],
      ['user-alice@example.org', 'O=understudy,OU=user,OU=role:operator,CN=alice@example.org', 'operator'],
    ]);
    const node = certificates[1];
    expect(node?.addresses).toEqual(['san-a', '10.20.0.1', '0:0:0:0:0:0:0:1', 'san-a.example.org']);
    const purposes = certificates.map(({ pem }) => new X509Certificate(pem).keyUsage);
    const [server, client] = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
    expect(purposes).toEqual([[client], [server, client], [client]]);
    // Nobody but the authority signs: neither whoever has a certificate, nor an authority below this one.
    expect(certificates.filter(({ pem }) => new X509Certificate(pem).ca)).toEqual([]);
    const constraints = ['x509', '-in', authority.path('ca.crt'), '-noout', '-ext', 'basicConstraints'];
    expect(execFileSync('openssl', constraints).toString()).toMatch(/critical\s+CA:TRUE, pathlen:0\s*$/);
    expect(authorities.map(({ expiresMs }) => Math.round((expiresMs - Date.now()) / DAY_MS))).toEqual([3650]);
    const mode = (name: string): number => statSync(authority.path(name)).mode & 0o777;
    expect([mode('.'), mode('ca.key'), mode('host-web1.key'), mode('ca.crt')]).toEqual([0o700, 0o600, 0o600, 0o644]);
  });

  it('pki - openssl agrees with chain, purpose and name', async () => {
    await authority.node('san-a');
    const said = execFileSync('openssl', [
      ...['verify', '-purpose', 'sslserver', '-CAfile', authority.path('ca.crt'), '-verify_hostname', 'san-a'],
      authority.path('node-san-a.crt'),
    ]);
    expect(said.toString()).toContain(': OK');
  });

  it('pki - an authority and a valid certificate are not replaced, a revoked name gets another key', async () => {
    expect(await refusal(initAuthority({ folder: authority.folder }))).toMatch(/^CERTIFICATE_EXISTS: .*ca.crt/);
    const first = await authority.host('web1');
    const key = readFileSync(first.keyFile, 'utf8');
    expect(await refusal(authority.host('web1'))).toMatch(/^CERTIFICATE_EXISTS: .*pki renew host-web1/);
    expect(await revokeCertificates(authority.folder, 'host-web1', Date.now())).toEqual([first.serial]);
    expect(await revokeCertificates(authority.folder, 'host-web1', Date.now())).toEqual([]);
    expect((await authority.read()).certificates[0]?.revoked).toBe(true);
    const second = await authority.host('web1');
    expect(second.revoked).toBe(false);
    expect(readFileSync(second.keyFile, 'utf8')).not.toBe(key);
  });

  it('pki - renewed with the same key, and the earlier one is revoked with the name', async () => {
    const first = await authority.host('web1');
    const key = readFileSync(first.keyFile, 'utf8');
    const second = await renewCertificate(first, { folder: authority.folder, days: 700 });
    expect(readFileSync(second.keyFile, 'utf8')).toBe(key);
    expect(second.serial).not.toBe(first.serial);
    expect(second.addresses).toEqual(first.addresses);
    rmSync(second.file);
    const revoked = await revokeCertificates(authority.folder, 'host-web1', Date.now());
    expect([...revoked].sort()).toEqual([first.serial, second.serial].sort());
  });

  it('pki - without the key of the authority only what signs is refused, and says where it is looked for', async () => {
    const web1 = await authority.host('web1');
    const elsewhere = `${authority.folder}-offline.key`;
    renameSync(authority.path('ca.key'), elsewhere);
    try {
      const { folder } = authority;
      const subject = { kind: 'host', name: 'web2', role: null } as const;
      const missing = /^AUTHORITY_KEY_MISSING: .*ca.key is not there.*--authority-key FILE/;
      expect(await refusal(issueCertificate({ folder, subject }))).toMatch(missing);
      expect(await refusal(renewCertificate(web1, { folder }))).toMatch(missing);
      expect((await authority.read()).certificates).toHaveLength(1);
      expect(await revokeCertificates(folder, 'host-web1', Date.now())).toHaveLength(1);
      const made = await issueCertificate({ folder, subject, authorityKey: elsewhere });
      expect(made.title).toBe('host-web2');
      const signer = { folder, authorityKey: authority.path('host-web1.key') };
      expect(await refusal(renewCertificate(made, signer))).toMatch(
        /^CERTIFICATE_INVALID: .*is not the key of .*ca.crt/,
      );
      chmodSync(elsewhere, 0o644);
      const open = issueCertificate({ folder, subject: { ...subject, name: 'web3' }, authorityKey: elsewhere });
      expect(await refusal(open)).toMatch(/^CERTIFICATE_INVALID: .*mode 0644.*chmod 600/);
    } finally {
      rmSync(elsewhere);
    }
  });

  it('pki - several commands at a time lose nothing of each other', async () => {
    const names = Array.from({ length: 8 }, (_, number) => `web${number}`);
    const made = await Promise.all(names.map((name) => authority.host(name)));
    const { certificates, issued } = await authority.read();
    expect(certificates.map(({ serial }) => serial).sort()).toEqual(made.map(({ serial }) => serial).sort());
    expect([...issued].sort()).toEqual(names.map((name) => `host-${name}`));
    const revoked = names.map((name) => revokeCertificates(authority.folder, `host-${name}`, Date.now()));
    await Promise.all(revoked);
    expect((await authority.read()).certificates.every((one) => one.revoked)).toBe(true);
  });

  it('pki - ca.crl has the revoked serial numbers, signed by the authority', async () => {
    const { serial } = await authority.host('web1');
    await revokeCertificates(authority.folder, 'host-web1', Date.now());
    const args = ['crl', '-in', authority.path('ca.crl'), '-CAfile', authority.path('ca.crt'), '-noout', '-text'];
    const said = execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
    expect(said.toLowerCase()).toContain(`serial number: ${serial}`);
  });

  it.each([
    ['../web1', /^USAGE/],
    ['web1/CN=other', /^USAGE/],
    ['Web1', /^USAGE/],
    ['a'.repeat(64), /^USAGE/],
    ['', /^USAGE/],
    ['web1\nOU=node', /^USAGE/],
  ])('pki - no certificate for the name %j', async (name, said) => {
    expect(await refusal(authority.host(name))).toMatch(said);
  });
});

describe('what is refused', () => {
  it('pki - a key that others can read, a symbolic link to one, another key', async () => {
    await authority.host('web1');
    await authority.host('web2');
    const key = authority.path('host-web1.key');
    const read = async () => readKeyPair(await authority.read(), 'host', 'web1');
    expect((await read()).key).toContain('PRIVATE KEY');
    chmodSync(key, 0o644);
    expect(await refusal(read())).toBe(
      `CERTIFICATE_INVALID: ${key} can be read or changed by others (mode 0644): chmod 600 ${key}`,
    );
    rmSync(key);
    symlinkSync(authority.path('host-web2.key'), key);
    expect(await refusal(read())).toMatch(/^CERTIFICATE_INVALID: .*is a symbolic link/);
    rmSync(key);
    copyFileSync(authority.path('host-web2.key'), key);
    expect(await refusal(read())).toMatch(/^CERTIFICATE_INVALID: .*host-web1.key is not the key of .*host-web1.crt/);
    rmSync(key);
    expect(await refusal(read())).toMatch(/^CERTIFICATE_INVALID: .*does not exist/);
    if (process.getuid?.() === 0) {
      writeFileSync(key, 'x', { mode: 0o600 });
      chownSync(key, 4711, 4711);
      expect(await refusal(read())).toMatch(/^CERTIFICATE_INVALID: .*belongs to user 4711/);
    }
  });

  it('pki - a folder that others can enter', async () => {
    chmodSync(authority.folder, 0o750);
    expect(await refusal(authority.read())).toMatch(/^CERTIFICATE_INVALID: .*mode 0750.*chmod 700/);
  });

  it('pki - of another authority, under another name, with another subject: told, and the others are read', async () => {
    const other = await TestAuthority.make();
    try {
      await other.host('web2');
      await authority.host('web1');
      await authority.host('web3');
      copyFileSync(other.path('host-web2.crt'), authority.path('host-web2.crt'));
      copyFileSync(authority.path('host-web1.crt'), authority.path('node-san-a.crt'));
      authority.replace('host-web3', '/O=understudy/OU=host/OU=node/CN=web3', 10);
      writeFileSync(authority.path('user-bob.crt'), 'nonsense', { mode: 0o644 });
      writeFileSync(authority.path('wrong.crt'), 'nonsense', { mode: 0o644 });
      const { certificates, problems } = await authority.read();
      expect(certificates.map(({ title }) => title)).toEqual(['host-web1']);
      expect(problems.join('\n')).toMatch(
        /host-web2.crt was not signed .*\n.*host-web3.crt is of .*\n.*node-san-a.crt is the certificate of host-web1\n.*user-bob.crt is not a certificate.*\n.*wrong.crt is not called/,
      );
      const asked = readKeyPair(await authority.read(), 'host', 'web2');
      expect(await refusal(asked)).toMatch(/^CERTIFICATE_INVALID: .*was not signed/);
    } finally {
      other.remove();
    }
  });

  it('pki - of an authority that calls itself as ours, and says nothing of its key', async () => {
    const other = await TestAuthority.make();
    try {
      await other.host('web2');
      other.replace('host-web2', '/O=understudy/OU=host/CN=web2', 10);
      copyFileSync(other.path('host-web2.crt'), authority.path('host-web2.crt'));
      const { certificates, problems } = await authority.read();
      expect({ certificates, problems }).toEqual({
        certificates: [],
        problems: [expect.stringContaining('host-web2.crt was not signed by the authority')],
      });
    } finally {
      other.remove();
    }
  });

  it('pki - an authority that is a host, and files without end', async () => {
    await authority.host('web1');
    const whole = readFileSync(authority.path('ca.crt'), 'utf8');
    writeFileSync(authority.path('ca.crt'), `${whole}${authority.pem('host-web1').cert}`);
    expect(await refusal(authority.read())).toMatch(/^CERTIFICATE_INVALID: .*is not that of an authority/);
    writeFileSync(authority.path('ca.crt'), `${whole}${'\n'.repeat(1024 * 1024)}`);
    expect(await refusal(authority.read())).toMatch(/^CERTIFICATE_INVALID: .*ca.crt is longer than/);
    writeFileSync(authority.path('ca.crt'), whole);
    expect((await authority.read()).problems).toEqual([]);
  });

  it('pki - a list of revoked certificates that is not understood lets nobody in', async () => {
    writeFileSync(authority.path('revoked'), 'abc host-web1 2026-11-30T08:00:00.000Z\nhello\n', { mode: 0o600 });
    expect(await refusal(authority.read())).toMatch(/^CERTIFICATE_INVALID: .*revoked:2: is not understood/);
  });
});

describe('what goes on', () => {
  it('pki - those that expire within 30 days are found, those that were revoked are not renewed', async () => {
    const web1 = await issueCertificate({
      folder: authority.folder,
      subject: { kind: 'host', name: 'web1', role: null },
      days: 29,
    });
    await authority.host('web2');
    const soon = async () => expiringWithin(await authority.read(), 30, Date.now()).map(({ title }) => title);
    expect(await soon()).toEqual(['host-web1']);
    await revokeCertificates(authority.folder, 'host-web1', Date.now());
    expect(await soon()).toEqual([]);
    const [revoked] = (await authority.read()).certificates;
    expect(revoked?.serial).toBe(web1.serial);
    if (revoked !== undefined) {
      const again = renewCertificate(revoked, { folder: authority.folder });
      expect(await refusal(again)).toMatch(/^CERTIFICATE_INVALID: host-web1 was revoked/);
    }
  });

  it('pki - whoever watches is told of a renewal and of a revocation', async () => {
    const web1 = await authority.host('web1');
    const ending = new AbortController();
    const told = new EventTarget();
    watchCertificates(authority.folder, {
      signal: ending.signal,
      onChange: async () => void told.dispatchEvent(new Event('change')),
    });
    try {
      const next = () => once(told, 'change');
      const renewal = next();
      await renewCertificate(web1, { folder: authority.folder });
      await renewal;
      const revocation = next();
      await revokeCertificates(authority.folder, 'host-web1', Date.now());
      await revocation;
      // A key that others can read from now on is to be told of too.
      const rights = next();
      chmodSync(authority.path('host-web1.key'), 0o644);
      await rights;
    } finally {
      ending.abort();
    }
  });
});
