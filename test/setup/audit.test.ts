// Goal: no package of package-lock.json has a known advisory, whether the registry can be asked or not. Method: the
// lock file against the list of the repository; versions planted in it; the command against a registry on loopback,
// which the real npm asks.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AdvisoryList, ageOf, findings, type Lock, lockedPackages, merged } from '../../scripts/audit.mjs';

/** It comes without types. */
const semver = createRequire(import.meta.url)('semver') as { minVersion(range: string): { version: string } | null };

const root = fileURLToPath(new URL('../..', import.meta.url));

function json<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

const lock = json<Lock>(join(root, 'package-lock.json'));
const list = json<AdvisoryList>(join(root, 'scripts/advisories.json'));

/** The lock file with one more package in it. */
function planted(path: string, version: string, name?: string): Lock {
  return { packages: { ...lock.packages, [path]: { version, ...(name === undefined ? {} : { name }) } } };
}

/** A version that the range has. */
function versionIn(range: string): string {
  const version = semver.minVersion(range)?.version;
  if (version === undefined) throw new Error(`nothing is in ${range}`);
  return version;
}

describe('the audit', () => {
  it('audit - no package of the lock file has an advisory of the list that is not accepted', () => {
    process.stderr.write(`audit: ${list.advisories.length} advisories; ${ageOf(list)}\n`);
    expect(lockedPackages(lock).length).toBeGreaterThan(100);
    expect(findings(lock, list).filter(({ advisory }) => advisory.accepted === undefined)).toEqual([]);
  });

  it('audit - every entry of the list has a number, a severity, a title and a range with a version in it', () => {
    for (const { id, package: name, severity, title, vulnerable, accepted } of list.advisories) {
      expect([id, id]).toEqual([id, expect.stringMatching(/^(GHSA(-[23456789cfghjmpqrvwx]{4}){3}|CVE-\d{4}-\d{4,})$/)]);
      expect([id, name !== '' && title.length > 5]).toEqual([id, true]);
      expect(['low', 'moderate', 'high', 'critical']).toContain(severity);
      expect([id, semver.minVersion(vulnerable)]).toEqual([id, expect.anything()]);
      if (accepted !== undefined) expect([id, accepted.length > 20]).toEqual([id, true]);
    }
  });

  it('audit - a vulnerable version is found for every entry, at the top and below another package', () => {
    for (const { id, package: name, vulnerable } of list.advisories) {
      const version = versionIn(vulnerable);
      for (const path of [`node_modules/${name}`, `node_modules/fastify/node_modules/${name}`]) {
        const found = findings(planted(path, version), list).filter((one) => one.path === path);
        expect([id, found.map(({ advisory }) => advisory.id)]).toEqual([id, expect.arrayContaining([id])]);
      }
    }
  });

  it('audit - an alias and a pre-release do not hide a package', () => {
    const alias = findings(planted('node_modules/other', '7.23.0', 'undici'), list);
    expect(alias.map(({ path }) => path)).toContain('node_modules/other');
    expect(findings(planted('node_modules/undici', '7.24.0-rc.1'), list)).not.toEqual([]);
  });

  it('audit - what cannot be read is an error, not "not affected"', () => {
    const [first] = list.advisories;
    const unreadable = { ...list, advisories: [{ ...first, vulnerable: 'none of them' }] } as AdvisoryList;
    expect(() => findings(lock, unreadable)).toThrow('no range');
    expect(() => findings(planted('node_modules/undici', 'file:../undici'), list)).toThrow('no version');
  });

  it('audit - says how old the list is, and whether the registry was ever asked', () => {
    const now = Date.parse('2026-12-25T12:00:00Z');
    expect(ageOf({ askedAt: '2026-12-01', gatheredAt: '2026-11-30', advisories: [] }, now)).toBe(
      'the registry was last asked 24 days ago, on 2026-12-01',
    );
    expect(ageOf({ askedAt: null, gatheredAt: '2026-11-30', advisories: [] }, now)).toContain(
      'gathered by hand 25 days',
    );
  });

  it('audit - a report of npm adds to the list; what was accepted stays so, and what is there of older versions', () => {
    const old = { id: 'GHSA-2222-2222-2222', package: 'a', severity: 'low', vulnerable: '<1.0.0', title: 'of old' };
    const accepted = { ...old, id: 'GHSA-3333-3333-3333', accepted: 'we never call this function of it' };
    const via = { name: 'a', severity: 'high', range: '<2.0.0', title: 'new', url: 'https://x/GHSA-3333-3333-3333' };
    const before = { askedAt: null, gatheredAt: '2026-11-30', advisories: [old, accepted] };
    const after = merged(before, { vulnerabilities: { a: { via: [via] }, b: { via: ['a'] } } }, '2026-12-01');
    expect(after.askedAt).toBe('2026-12-01');
    expect(after.advisories).toEqual([old, { ...accepted, severity: 'high', vulnerable: '<2.0.0', title: 'new' }]);
  });
});

describe('npm run audit', () => {
  let folder: string;
  let server: Server;
  let asked: Record<string, string[]>;
  /** What the registry knows; null: it does not answer this question. */
  let known: Record<string, object[]> | null;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'audit-'));
    for (const path of ['scripts', 'package.json', 'package-lock.json', '.npmrc']) {
      cpSync(join(root, path), join(folder, path), { recursive: true });
    }
    cpSync(join(root, 'node_modules/semver'), join(folder, 'node_modules/semver'), { recursive: true });
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (known === null || request.method !== 'POST') return response.writeHead(405).end();
        asked = JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()) as Record<string, string[]>;
        return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(known));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  afterEach(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  /** The command, with the real npm, which asks the registry of the test. */
  async function audit(): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const { port } = server.address() as AddressInfo;
    const env = {
      ...process.env,
      npm_config_registry: `http://127.0.0.1:${port}/`,
      npm_config_cache: join(folder, 'c'),
    };
    const child = spawn(process.execPath, ['scripts/audit.mjs'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, stdout, stderr };
  }

  function plant(name: string, version: string): void {
    const path = join(folder, 'package-lock.json');
    const whole = json<{ packages: Record<string, object> }>(path);
    whole.packages[`node_modules/${name}`] = { ...whole.packages[`node_modules/${name}`], version };
    writeFileSync(path, JSON.stringify(whole));
  }

  it('audit - a registry that does not answer: the list alone is compared, its age is told, and it is as it was', async () => {
    known = null;
    const before = readFileSync(join(folder, 'scripts/advisories.json'), 'utf8');
    const good = await audit();
    expect(good).toMatchObject({ status: 0, stdout: '' });
    expect(good.stderr).toMatch(/the registry did not say: .*405/);
    expect(good.stderr).toContain(ageOf(list));
    plant('yaml', '2.8.2');
    expect(await audit()).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('GHSA-48c2-rrv3-qjmp') as string,
    });
    expect(readFileSync(join(folder, 'scripts/advisories.json'), 'utf8')).toBe(before);
  });

  it('audit - a registry that answers: what it says is told and added to the list, with the day', async () => {
    const url = 'https://github.com/advisories/GHSA-2222-3333-4444';
    const advisory = { id: 1, url, title: 'planted', severity: 'high', vulnerable_versions: '<99.0.0', cwe: [] };
    known = { yaml: [{ ...advisory, cvss: { score: 0, vectorString: null } }] };
    const { status, stdout } = await audit();
    expect(asked.fastify).toEqual([lock.packages['node_modules/fastify']?.version]);
    expect(status).toBe(1);
    expect(stdout).toContain('GHSA-2222-3333-4444, high: planted');
    const after = json<AdvisoryList>(join(folder, 'scripts/advisories.json'));
    expect(after.advisories).toHaveLength(list.advisories.length + 1);
    expect(after.askedAt).toMatch(/^20\d\d-\d\d-\d\d$/);
    // It is known from now on, whether the registry answers or not.
    known = null;
    expect(await audit()).toMatchObject({ status: 1, stdout });
  });
});
