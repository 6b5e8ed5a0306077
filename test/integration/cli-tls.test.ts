// The command line with TLS, as processes: certificates are made with `understudy pki`, the controller is checked
// before it is asked anything, and what is not encrypted is refused.
import { chmodSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ErrorCode, errorRegistry, runTool } from '../../src/base/mod.ts';
import { OPERATOR } from '../support/api-stage.ts';
import { type Pem, TestAuthority } from '../support/authority.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';
import { NODE, TlsStage } from '../support/tls-stage.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const NOTHING_SET = Object.fromEntries(
  ['URL', 'TOKEN_FILE', 'CACERT', 'CERT', 'KEY'].map((name) => [`UNDERSTUDY_${name}`, '']),
);

let stage: TlsStage;
const servers: Server[] = [];
beforeEach(async () => {
  stage = await TlsStage.open();
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await stage.close();
});

function understudy(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return runTool(process.execPath, [PROGRAM, ...args], { env: { ...NOTHING_SET, ...env } });
}

async function expectRefusal(args: readonly string[], code: ErrorCode, message: RegExp): Promise<void> {
  const { status, stdout, stderr } = await understudy(args);
  expect(stderr, args.join(' ')).toMatch(new RegExp(`^understudy: [^]*\\(${code}\\)\n$`));
  expect(stderr).toMatch(message);
  expect({ status, stdout }).toEqual({ status: errorRegistry[code].exit, stdout: '' });
}

async function pki(...args: readonly string[]): Promise<unknown> {
  const { status, stdout, stderr } = await understudy(['pki', ...args, '-f', stage.file, '--json']);
  expect({ status, stderr }, args.join(' ')).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** How a person on another machine asks. */
function remotely(...more: readonly string[]): readonly string[] {
  return ['--url', stage.url, '--cacert', stage.authority.path('ca.crt'), ...more];
}

describe('pki', () => {
  it('cli pki - init, issue, list, renew and revoke, and what each prints', async () => {
    const { authority } = stage;
    const issued = await pki('issue', 'user', 'alice', 'operator');
    expect(shapeDifferences(documentedJson('pki issue'), issued)).toEqual([]);
    await pki('issue', 'host', 'web1');
    await pki('issue', 'node', 'san-b', '--address', '10.20.0.2', 'fd00::2', '--days', '20');
    const list = await pki('list');
    expect(shapeDifferences(documentedJson('pki list'), list)).toEqual([]);
    const states = async () => {
      const { certificates } = (await pki('list')) as { certificates: { title: string; state: string }[] };
      return certificates.map(({ title, state }) => `${title} ${state}`);
    };
    expect(await states()).toEqual(['host-web1 valid', 'node-san-a valid', 'node-san-b expiring', 'user-alice valid']);
    const renewed = (await pki('renew')) as { certificates: { title: string }[] };
    expect(renewed.certificates.map(({ title }) => title)).toEqual(['node-san-b']);
    const revoked = await pki('revoke', 'alice');
    expect(shapeDifferences(documentedJson('pki revoke'), revoked)).toEqual([]);
    expect(await states()).toEqual(['host-web1 valid', 'node-san-a valid', 'node-san-b valid', 'user-alice revoked']);
    const text = await understudy(['pki', 'list', '--folder', authority.folder]);
    expect(text.stdout).toMatch(/^authority +20..-..-..\nhost-web1 +20..-..-.. {2}valid +web1\n/);
    const made = `${authority.folder}/second`;
    const { status } = await understudy(['pki', 'init', '--folder', made, '--authority-key', `${made}-key/ca.key`]);
    expect(status).toBe(0);
    expect(statSync(made).mode & 0o777).toBe(0o700);
    expect(statSync(`${made}-key/ca.key`).mode & 0o777).toBe(0o600);
  });

  it('cli pki - what is refused, and with which status', async () => {
    const inFolder = ['--folder', stage.authority.folder];
    await expectRefusal(['pki', 'list'], 'USAGE', /say which folder of certificates/);
    await expectRefusal(['pki', 'init', ...inFolder], 'CERTIFICATE_EXISTS', /never replaced/);
    await expectRefusal(['pki', 'issue', 'user', 'alice', ...inFolder], 'USAGE', /a user needs a role/);
    await expectRefusal(['pki', 'issue', 'host', 'web1', 'viewer', ...inFolder], 'USAGE', /a host has no role/);
    await expectRefusal(['pki', 'issue', 'host', '../x', ...inFolder], 'USAGE', /is not the name of a host/);
    await expectRefusal(['pki', 'revoke', 'nobody', ...inFolder], 'CERTIFICATE_UNKNOWN', /no certificate of "nobody"/);
    await pki('issue', 'host', NODE);
    await expectRefusal(['pki', 'revoke', NODE, ...inFolder], 'USAGE', /say host-san-a or node-san-a/);
    const wrong = await understudy(['pki', 'issue', 'robot', 'r2', ...inFolder]);
    expect(wrong.status).toBe(2);
    const elsewhere = `${stage.authority.folder}.key`;
    renameSync(stage.authority.path('ca.key'), elsewhere);
    try {
      await expectRefusal(['pki', 'renew', NODE, ...inFolder], 'USAGE', /several/);
      const missing = /ca.key is not there.*--authority-key FILE/;
      await expectRefusal(['pki', 'renew', `node-${NODE}`, ...inFolder], 'AUTHORITY_KEY_MISSING', missing);
      await expectRefusal(['pki', 'issue', 'host', 'web1', ...inFolder], 'AUTHORITY_KEY_MISSING', missing);
      await pki('list');
      await pki('revoke', `host-${NODE}`);
      await pki('renew', `node-${NODE}`, '--authority-key', elsewhere);
    } finally {
      rmSync(elsewhere);
    }
  });
});

describe('commands', () => {
  it('cli tls - on the machine itself understudy.yaml says all, by whatever address', async () => {
    expect(await understudy(['status', '-f', stage.file])).toMatchObject({ status: 0, stderr: '' });
  });

  it('cli tls - a certificate or a token, from options or the environment', async () => {
    await pki('issue', 'user', 'alice', 'operator');
    await pki('issue', 'user', 'bob', 'viewer');
    const token = stage.config.secret('mine', OPERATOR);
    const [alice, bob] = ['alice', 'bob'].map((name) => stage.authority.path(`user-${name}.crt`));
    expect(await understudy(['status', ...remotely('--token-file', token)])).toMatchObject({ status: 0 });
    expect(await understudy(['approve', 'p-1', ...remotely('--cert', alice ?? '')])).toMatchObject({ status: 0 });
    const viewer = ['approve', 'p-1', ...remotely('--cert', bob ?? '')];
    await expectRefusal(viewer, 'API_FORBIDDEN', /bob may look, and not change anything/);
    const env = { UNDERSTUDY_URL: stage.url, UNDERSTUDY_CACERT: stage.authority.path('ca.crt'), UNDERSTUDY_CERT: bob };
    expect(await understudy(['status'], env)).toMatchObject({ status: 0, stderr: '' });
    await pki('revoke', 'alice');
    await stage.authority.read();
    await expectRefusal(['status', ...remotely('--cert', alice ?? '')], 'API_UNAUTHORIZED', /certificate was revoked/);
  });

  it('cli tls - a key that others can read, and a symbolic link to one', async () => {
    await pki('issue', 'user', 'bob', 'viewer');
    const [cert, key] = [stage.authority.path('user-bob.crt'), stage.authority.path('user-bob.key')];
    chmodSync(key, 0o644);
    await expectRefusal(['status', ...remotely('--cert', cert)], 'CERTIFICATE_INVALID', /mode 0644\): chmod 600/);
    chmodSync(key, 0o600);
    const link = stage.config.path('link.key');
    symlinkSync(key, link);
    const linked = ['status', ...remotely('--cert', cert, '--key', link)];
    await expectRefusal(linked, 'CERTIFICATE_INVALID', /link.key is a symbolic link/);
  });

  it('cli tls - a controller of another authority, for another name, expired or a host is not asked', async () => {
    const token = stage.config.secret('mine', OPERATOR);
    const nobody = ['status', '--token-file', token, '--url', stage.url];
    await expectRefusal(nobody, 'API_UNTRUSTED', /another authority/);
    const heard: string[] = [];
    const pretender = async (pem: Pem, options = {}) => {
      const server = createServer({ ...pem, ...options }, (request, response) => {
        heard.push(String(request.headers.authorization));
        response.end('{}');
      });
      servers.push(server);
      server.on('tlsClientError', () => undefined);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      return ['status', ...remotely('--token-file', token), '--url', url];
    };
    const other = await TestAuthority.make();
    try {
      await other.node(NODE);
      const stranger = await pretender(other.pem(`node-${NODE}`));
      await expectRefusal(stranger, 'API_UNTRUSTED', /is not asked: .*another authority has signed it/);
    } finally {
      other.remove();
    }
    const { authority } = stage;
    await authority.node('san-b', ['10.9.9.9']);
    await expectRefusal(await pretender(authority.pem('node-san-b')), 'API_UNTRUSTED', /for another name: .*127.0.0.1/);
    await authority.host('web1');
    authority.replace('host-web1', '/O=understudy/OU=host/CN=web1', 9, 'clientAuth');
    await expectRefusal(await pretender(authority.pem('host-web1')), 'API_UNTRUSTED', /not made for this purpose/);
    const good = authority.pem(`node-${NODE}`);
    await expectRefusal(await pretender(good, { maxVersion: 'TLSv1.2' }), 'API_UNTRUSTED', /does not speak TLS 1.3/);
    authority.replace(`node-${NODE}`, `/O=understudy/OU=node/CN=${NODE}`, -1);
    await expectRefusal(await pretender(authority.pem(`node-${NODE}`)), 'API_UNTRUSTED', /it has expired/);
    expect(heard).toEqual([]);
  });

  it('cli tls - without encryption nothing leaves the machine, unless it is allowed', async () => {
    const token = stage.config.secret('mine', OPERATOR);
    const plain = ['status', '--url', 'http://192.0.2.1:7780', '--token-file', token];
    await expectRefusal(plain, 'API_INSECURE', /write https:\/\/.*--insecure/);
    const agent = ['agent', '--host', 'web1', '--controller', 'http://192.0.2.1:7780', '--token-file', token, '--once'];
    await expectRefusal(agent, 'API_INSECURE', /write https:\/\/.*--insecure/);
    const loopback = ['status', '--url', stage.url.replace('https:', 'http:'), '--token-file', token];
    expect((await understudy(loopback)).stderr).not.toContain('API_INSECURE');
  });
});

describe('the agent', () => {
  const settings = (more: object) =>
    stage.config.secret('agent.json', JSON.stringify({ host: 'web1', controller: stage.url, ...more }));
  const once = (...args: readonly string[]) => understudy(['agent', '--once', ...args]);

  it('agent tls - a host certificate reports for its host, in files or in the settings, and for no other', async () => {
    await stage.authority.host('web1');
    await stage.authority.host('spare1');
    const authority = { caFile: stage.authority.path('ca.crt') };
    const files = { ...authority, certFile: stage.authority.path('host-web1.crt') };
    expect(await once('--config', settings(files))).toMatchObject({ status: 0, stderr: '' });
    const inline = { ca: stage.authority.authorityPem, ...stage.authority.pem('host-web1') };
    expect(await once('--config', settings(inline))).toMatchObject({ status: 0, stderr: '' });
    expect(stage.controller.asked.filter((one) => one.startsWith('report web1'))).toHaveLength(4);
    const other = await once('--config', settings({ ...authority, certFile: stage.authority.path('host-spare1.crt') }));
    expect(other.stderr).toMatch(/certificate is not that of host web1 \(403\)/);
    expect(other.status).toBe(errorRegistry.API_FORBIDDEN.exit);
    const token = stage.config.secret('token', OPERATOR);
    const stranger = await once('--config', settings({ tokenFile: token }));
    expect(stranger.stderr).toMatch(/its certificate is not accepted: another authority has signed it/);
    chmodSync(stage.authority.path('host-web1.key'), 0o644);
    expect((await once('--config', settings(files))).stderr).toMatch(/mode 0644.*CERTIFICATE_INVALID/);
  });
});
