// A small project in a temporary folder with this one's scripts, for tests of set-up and test run. Programs that would change
// the machine are replaced by ones that write down how they were called.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class SmallProject {
  readonly folder = mkdtempSync(join(tmpdir(), 'project-'));
  readonly #calls = join(this.folder, 'calls.log');

  constructor() {
    cpSync(join(root, 'scripts'), join(this.folder, 'scripts'), {
      recursive: true,
      filter: (path) => !path.endsWith('.ts'),
    });
    cpSync(join(root, '.ci'), join(this.folder, '.ci'), { recursive: true });
    mkdirSync(join(this.folder, 'bin'));
    mkdirSync(join(this.folder, 'node_modules'));
    this.link('typescript');
    this.link('@types');
    this.write('package.json', '{ "name": "small", "version": "1.0.0", "type": "module" }');
    this.write(
      'tsconfig.json',
      JSON.stringify({ compilerOptions: { outDir: 'dist', rootDir: '.', types: [] }, include: ['src'] }),
    );
    this.write('src/a.ts', 'export const a: number = 1;\n');
    this.lock('1.0.0');
    this.installed('1.0.0');
  }

  link(name: string): void {
    symlinkSync(join(root, 'node_modules', name), join(this.folder, 'node_modules', name));
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), 'utf8');
  }

  has(path: string): boolean {
    return existsSync(join(this.folder, path));
  }

  remove(path: string): void {
    rmSync(join(this.folder, path));
  }

  /** What package-lock.json asks for: one package of this version. */
  lock(version: string): void {
    this.write('package-lock.json', JSON.stringify({ packages: { '': {}, 'node_modules/typescript': { version } } }));
  }

  /** What npm says that it has installed. */
  installed(version: string): void {
    this.write(
      'node_modules/.package-lock.json',
      JSON.stringify({ packages: { 'node_modules/typescript': { version } } }),
    );
  }

  /** Puts a shell program in front of the system's; it writes its name and arguments down, then does what `body` says. */
  fake(name: string, body: string): void {
    const path = join(this.folder, 'bin', name);
    writeFileSync(path, `#!/bin/sh\nprintf "%s\\\\n" "${name} $*" >> '${this.#calls}'\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** A dpkg-query that knows every package that it is asked for, but these. */
  fakeDpkg(missing: readonly string[]): void {
    const absent = missing.length === 0 ? 'nothing' : missing.join('|');
    const answer = `case "$name" in ${absent}) ;; *) echo "$name installed" ;; esac`;
    this.fake('dpkg-query', `shift 2; for name in "$@"; do ${answer}; done`);
  }

  /** Calls of the replaced programs since the last look. */
  calls(): string[] {
    if (!existsSync(this.#calls)) return [];
    const lines = readFileSync(this.#calls, 'utf8').trimEnd().split('\n');
    rmSync(this.#calls);
    return lines;
  }

  /** Runs a program in the project. `uid` is whom the set-up takes itself for; `path` replaces the search path. */
  run(command: readonly string[], { uid = 0, path, env = {} }: RunOptions = {}): Outcome {
    const pretend = `data:text/javascript,process.getuid=()=>${uid}`;
    const [program = '', ...args] = command;
    const { npm_execpath: _, ...inherited } = process.env;
    const { status, stdout, stderr } = spawnSync(program, args, {
      cwd: this.folder,
      encoding: 'utf8',
      env: {
        ...inherited,
        NODE_OPTIONS: `--import=${pretend}`,
        PATH: path ?? `${join(this.folder, 'bin')}:${process.env.PATH ?? ''}`,
        ...env,
      },
    });
    return { status, stdout, stderr };
  }

  setup(purpose: string, options: RunOptions = {}): Outcome {
    return this.run([process.execPath, 'scripts/setup.mjs', purpose], options);
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface RunOptions {
  readonly uid?: number;
  readonly path?: string;
  readonly env?: NodeJS.ProcessEnv;
}
