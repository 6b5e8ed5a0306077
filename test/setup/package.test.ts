// Goal: the package holds a bill of materials that is true. Method: the package is made, taken apart, and its bill is
// compared with package-lock.json and the list of Debian packages.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bill, billOfMaterials, type Component } from '../../scripts/package.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Entry {
  readonly version: string;
  readonly license: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function json<T>(path: string): T {
  return JSON.parse(readFileSync(join(root, path), 'utf8')) as T;
}

let folder: string;
let files: readonly string[];
let bill: Bill;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'package-'));
  const script = join(root, 'scripts/package.mjs');
  execFileSync(process.execPath, [script, '--pack-destination', folder, '--silent'], { cwd: root, stdio: 'pipe' });
  const archive = join(folder, `understudy-${json<{ version: string }>('package.json').version}.tgz`);
  files = execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' }).trim().split('\n');
  bill = JSON.parse(
    execFileSync('tar', ['-xzOf', archive, 'package/dist/sbom.cdx.json'], { encoding: 'utf8' }),
  ) as Bill;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Everything in the lock file that a user of the package gets, by name and version. */
function shipped(): Map<string, Entry> {
  const { packages } = json<{ packages: Record<string, Entry> }>('package-lock.json');
  const entries = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  return new Map(
    entries.map(([path, entry]) => [`${path.slice(path.lastIndexOf('node_modules/') + 13)}@${entry.version}`, entry]),
  );
}

function fromNpm(): Component[] {
  return bill.components.filter(({ purl }) => purl.startsWith('pkg:npm/'));
}

function termsOf({ licenses = [] }: Component): string[] {
  return licenses.map((one) => ('expression' in one ? one.expression : one.license.id));
}

describe('the package', () => {
  it('package - has the bill of materials, the policy for reports, and the licences of what is bundled', () => {
    const wanted = ['dist/sbom.cdx.json', 'SECURITY.md', 'LICENSE', 'dist/run/licences.txt'];
    expect(files).toEqual(expect.arrayContaining(wanted.map((path) => `package/${path}`)));
  });

  it('package - the bill is CycloneDX, of this version, and names nothing twice', () => {
    expect(bill).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.5', version: 1 });
    expect(bill.serialNumber).toMatch(
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    const { name, version, license } = json<{ name: string; version: string; license: string }>('package.json');
    expect(bill.metadata.component).toMatchObject({ name, version, type: 'application' });
    expect(termsOf(bill.metadata.component)).toEqual([license]);
    const refs = bill.components.map((one) => one['bom-ref']);
    expect(new Set(refs).size).toBe(refs.length);
    const known = new Set([...refs, bill.metadata.component['bom-ref']]);
    for (const { ref, dependsOn } of bill.dependencies) {
      expect([ref, [ref, ...dependsOn].filter((one) => !known.has(one))]).toEqual([ref, []]);
    }
  });

  it('package - the bill has each package of the lock file that is not for development, and no other', () => {
    const wanted = shipped();
    expect(
      fromNpm()
        .map(({ name, version }) => `${name}@${version}`)
        .sort(),
    ).toEqual([...wanted.keys()].sort());
    expect(wanted.size).toBeGreaterThan(50);
    for (const one of fromNpm()) {
      const { license, integrity } = wanted.get(`${one.name}@${one.version}`) as Entry;
      expect([one.purl, termsOf(one)]).toEqual([one.purl, [license]]);
      expect(decodeURIComponent(one.purl)).toBe(`pkg:npm/${one.name}@${one.version}`);
      const digest = one.hashes?.find(({ alg }) => alg === 'SHA-512')?.content ?? '';
      // The lock file has none of what is for other machines.
      if (integrity !== undefined) expect(`sha512-${Buffer.from(digest, 'hex').toString('base64')}`).toBe(integrity);
    }
  });

  it('package - the bill has what we depend on directly, and the Debian packages', () => {
    const own = bill.dependencies.find(({ ref }) => ref === bill.metadata.component['bom-ref']);
    const { dependencies, optionalDependencies } = json<Record<string, Record<string, string>>>('package.json');
    const direct = Object.entries({ ...dependencies, ...optionalDependencies });
    const system = json<Record<string, Record<string, string>>>('scripts/system-packages.json');
    const debian = Object.keys({ ...system.run, ...system.serve }).map((name) => `pkg:deb/debian/${name}`);
    expect([...(own?.dependsOn ?? [])].sort()).toEqual(
      [...direct.map(([name, version]) => `${name}@${version}`), ...debian].sort(),
    );
    const components = new Map(bill.components.map((one) => [one.name, one]));
    for (const name of Object.keys(system.run ?? {})) expect(components.get(name)).toMatchObject({ scope: 'required' });
  });

  it('package - the same sources give the same bill', () => {
    expect(billOfMaterials(root)).toEqual(bill);
  });
});
