import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SmallProject } from './project.ts';

let project: SmallProject;

beforeEach(() => {
  project = new SmallProject();
  project.fakeDpkg([]);
  project.fake('apt-get', 'echo "as $DEBIAN_FRONTEND"');
  project.fake('npm', '');
});

afterEach(() => project.dispose());

describe('set-up: Debian packages', () => {
  it('setup - with nothing missing it says nothing, changes nothing and is quick', () => {
    expect(project.setup('run').status).toBe(0);
    project.calls();
    const started = performance.now();
    expect(project.setup('test')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(performance.now() - started).toBeLessThan(3000);
    expect(project.calls().map((call) => call.split(' ')[0])).toEqual(['dpkg-query']);
  });

  it('setup - as root it installs what is missing without questions', () => {
    project.fakeDpkg(['zstd', 'nbdkit']);
    const { status, stderr } = project.setup('demo');
    expect(status).toBe(0);
    expect(stderr).toContain('Installing nbdkit zstd ...');
    expect(stderr).toContain('as noninteractive');
    const apt = project.calls().filter((call) => call.startsWith('apt-get'));
    expect(apt).toHaveLength(2);
    expect(apt[0]).toMatch(/ update$/);
    expect(apt[1]).toMatch(/ install --yes --no-install-recommends nbdkit zstd$/);
  });

  it('setup - as another user it prints the one line to run, and runs nothing', () => {
    project.fakeDpkg(['zstd', 'nbdkit']);
    const { status, stdout } = project.setup('demo', { uid: 1000 });
    expect(status).toBe(1);
    expect(stdout).toBe('sudo apt-get update && sudo apt-get install --yes --no-install-recommends nbdkit zstd\n');
    expect(project.calls().some((call) => call.startsWith('apt-get'))).toBe(false);
  });

  it('setup - each purpose asks for its own packages', () => {
    project.fakeDpkg(['nbdkit', 'spin', 'dcfldd']);
    const missingFor = (purpose: string): string =>
      project.setup(purpose, { uid: 1000 }).stdout.replace(/.*recommends /, '');
    expect(missingFor('run')).toBe('');
    expect(missingFor('demo')).toBe('nbdkit\n');
    expect(missingFor('test')).toBe('nbdkit spin\n');
    expect(missingFor('bench')).toBe('dcfldd nbdkit\n');
  });

  it('setup - a failing apt-get fails the set-up', () => {
    project.fakeDpkg(['zstd']);
    project.fake('apt-get', 'exit 100');
    const { status, stderr } = project.setup('run');
    expect(status).toBe(1);
    expect(stderr).toContain('ended with status 100');
  });

  it('setup - without dpkg it names the packages and goes on', () => {
    const { status, stderr } = project.setup('run', { path: '/nowhere' });
    expect(status).toBe(0);
    expect(stderr).toContain('This is not a Debian system');
    expect(stderr).toContain('libnbd0');
  });

  it('setup - an unknown purpose is refused with the known ones', () => {
    const { status, stderr } = project.setup('everything');
    expect(status).toBe(1);
    expect(stderr).toContain('build|run|demo|loop|test|proof|bench');
  });
});

describe('set-up: npm packages', () => {
  it('setup - packages are installed when they are missing and when the lock file changes', () => {
    project.setup('build');
    expect(project.calls()).toEqual([]);
    project.lock('2.0.0');
    project.setup('build');
    expect(project.calls()).toEqual(['npm ci']);
    project.installed('2.0.0');
    project.setup('build');
    expect(project.calls()).toEqual([]);
    project.remove('node_modules/.package-lock.json');
    project.setup('build');
    expect(project.calls()).toEqual(['npm ci']);
  });

  it('setup - the lock file has an entry for every optional package, without which npm ci refuses it', () => {
    interface Entry {
      readonly optionalDependencies?: Readonly<Record<string, string>>;
    }
    const text = readFileSync(fileURLToPath(new URL('../../package-lock.json', import.meta.url)), 'utf8');
    const { packages } = JSON.parse(text) as { packages: Record<string, Entry> };
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !(`node_modules/${name}` in packages) && !(`${path}/node_modules/${name}` in packages),
      ),
    );
    expect(missing).toEqual([]);
  });

  it('setup - a failing npm fails the set-up', () => {
    project.lock('2.0.0');
    project.fake('npm', 'exit 3');
    expect(project.setup('build').status).toBe(1);
  });
});

describe('set-up: build', () => {
  it('setup - builds when a source was changed, added or deleted, and leaves nothing of a deleted one', () => {
    expect(project.setup('build').stderr).toBe('Building ...\n');
    expect(project.setup('build').stderr).toBe('');
    project.write('src/b.ts', 'export const b = 2;\n');
    expect(project.setup('build').stderr).toBe('Building ...\n');
    expect(project.has('dist/src/b.js')).toBe(true);
    project.remove('src/b.ts');
    expect(project.setup('build').stderr).toBe('Building ...\n');
    expect(project.has('dist/src/b.js')).toBe(false);
    expect(project.has('dist/src/a.js')).toBe(true);
  });

  it('setup - a type error fails it, but not for tests, which count it themselves', () => {
    project.write('src/a.ts', `export const a: number = 'one';\n`);
    const { status, stderr } = project.setup('build');
    expect(status).toBe(1);
    expect(stderr).toContain('src/a.ts');
    expect(project.setup('test').status).toBe(0);
    expect(project.setup('build').status).toBe(1);
  });
});
