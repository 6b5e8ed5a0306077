// Goal: whose a file is, as a database of rpm says it: read by us, and by rpm itself.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/mod.ts';
import { ownerOf, packagesOf } from '../../src/identity/starts/mod.ts';
import { fileTree } from '../../src/identity/tree/mod.ts';
import { run } from '../support/disk-image.ts';
import { memoryTree } from '../support/memory-tree.ts';

const SEED = 20_261_201;
const PACKAGES = 24;
const FILES = 300;
const CONFIG = '/etc/net-1.conf';
let folder: string;
let packages: string[];

/** One with many files, whose header is larger than a page, and many small ones, which take more than one page. */
function spec(): string {
  const small = Array.from({ length: PACKAGES }, (_, index) => `net-${index + 1}`);
  const files = Array.from({ length: FILES }, (_, index) => `/usr/lib/large/file-${index}`);
  return [
    'Name: large\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx',
    ...small.map((name) => `%package -n ${name}\nSummary: ${'x'.repeat(900)}\n%description -n ${name}\nx`),
    '%install\nmkdir -p %{buildroot}/usr/lib/large %{buildroot}/usr/lib/systemd/system %{buildroot}/etc',
    ...files.map((path) => `echo x > %{buildroot}${path}`),
    ...small.map((name) => `echo ${name} > %{buildroot}/usr/lib/systemd/system/${name}.service`),
    ...small.map((name) => `echo ${name} > %{buildroot}/etc/${name}.conf`),
    '%files\n/usr/lib/large',
    ...small.map((name) => `%files -n ${name}\n/usr/lib/systemd/system/${name}.service\n%config /etc/${name}.conf`),
    '',
  ].join('\n');
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-packages-'));
  writeFileSync(join(folder, 'all.spec'), spec());
  const macros = ['_topdir', '_dbpath'].flatMap((name) => ['--define', `${name} ${join(folder, name)}`]);
  run('rpmbuild', ['-bb', '--quiet', '--nodeps', ...macros, join(folder, 'all.spec')]);
  const built = join(folder, '_topdir/RPMS/noarch');
  packages = ['large', ...Array.from({ length: PACKAGES }, (_, index) => `net-${index + 1}`)].map((name) =>
    join(built, `${name}-1-1.noarch.rpm`),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The database that rpm makes, and what it says itself: a line a file. */
function database(): { bytes: Buffer; lines: string[] } {
  const path = mkdtempSync(join(folder, 'database-'));
  const macros = ['--define', `_dbpath ${path}`, '--define', '_db_backend sqlite'];
  run('rpm', [...macros, '-i', '--justdb', '--nodeps', '--ignoreos', ...packages]);
  const lines = run('rpm', [...macros, '-qa', '--qf', '[%{FILENAMES} %{=NAME} %{FILEFLAGS} %{FILEDIGESTS}\\n]']);
  return { bytes: readFileSync(join(path, 'rpmdb.sqlite')), lines: lines.trim().split('\n') };
}

describe.each(['/usr/lib/sysimage/rpm/rpmdb.sqlite', '/var/lib/rpm/rpmdb.sqlite'])(
  'a database of rpm in %s',
  (place) => {
    let made: ReturnType<typeof database>;
    beforeAll(() => {
      made = database();
    });

    test('says of each file what rpm says', async () => {
      const tree = fileTree(memoryTree({ [place]: made.bytes, [CONFIG]: 'net-1\n' }));
      const known = await packagesOf(tree);
      expect(made.lines.length).toBeGreaterThan(FILES + PACKAGES);
      for (const line of made.lines) {
        const [path = '', name, flags, digest = ''] = line.split(' ');
        expect(known?.ownerOf(path), path).toBe(name);
        expect(known?.digestOf(path)?.hex, path).toBe((Number(flags) & 1) === 1 ? digest : undefined);
      }
      expect(known?.ownerOf('/usr/lib/large/file-x')).toBe(null);
      expect(await ownerOf(tree, CONFIG)).toBe('net-1');
      const changed = fileTree(memoryTree({ [place]: made.bytes, [CONFIG]: 'changed\n' }));
      expect(await ownerOf(changed, CONFIG)).toBe(null);
    });

    test('that is damaged ends, with what can be read of it', async () => {
      const random = seededRandom(SEED);
      for (let round = 0; round < 300; round += 1) {
        const bytes = Buffer.from(made.bytes);
        for (let blows = 1 + random.below(20); blows > 0; blows -= 1)
          bytes.writeUInt8(random.below(256), random.below(random.below(2) === 0 ? 4096 : bytes.length));
        const cut = random.below(4) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
        const known = await packagesOf(fileTree(memoryTree({ [place]: cut })));
        expect(known === null || known.ownerOf('/nowhere') === null).toBe(true);
      }
    });
  },
);
