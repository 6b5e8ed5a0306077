// What the commands say when they are asked for help, or for what they cannot do: in words, and as the documented
// object.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { errorRegistry, runTool } from '../../src/base/mod.ts';
import { patience } from '../rig/patience.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const SEVERAL_MS = patience(120_000);

const folder = mkdtempSync(join(tmpdir(), 'ustu-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function understudy(...args: readonly string[]) {
  return runTool(process.execPath, [PROGRAM, ...args], { env: { TMPDIR: folder }, timeoutMs: patience(30_000) });
}

/** Names of the commands that a help lists. */
function commandsIn(help: string): readonly string[] {
  const list = /^Commands:\n((?: {2}.*\n?)*)/m.exec(help)?.[1] ?? '';
  return [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name ?? '').filter((name) => name !== 'help');
}

interface Described {
  readonly words: readonly string[];
  readonly help: string;
}

/** Every command, those below another one too, with its help. */
async function everyCommand(): Promise<readonly Described[]> {
  const found: Described[] = [];
  const look = async (words: readonly string[]): Promise<void> => {
    const { status, stdout } = await understudy(...words, '--help');
    expect(status, words.join(' ')).toBe(0);
    const below = commandsIn(stdout);
    if (below.length === 0) found.push({ words, help: stdout });
    for (const name of below) await look([...words, name]);
  };
  await look([]);
  return found;
}

describe('commands in words', () => {
  it(
    'cli - help of a command is its --help, and help of what is not there says so',
    async () => {
      const { stdout } = await understudy('--help');
      const names = commandsIn(stdout);
      expect(names).toEqual(expect.arrayContaining(['copy', 'clone', 'reload', 'pki']));
      for (const name of names) {
        const [asked, own] = [await understudy('help', name), await understudy(name, '--help')];
        expect(asked.stdout).toContain('Options:');
        expect(asked).toEqual(own);
      }
      const unknown = await understudy('help', 'nonsense');
      const message = 'understudy has no command "nonsense"; "understudy --help" lists them';
      expect(unknown).toMatchObject({ status: errorRegistry.USAGE.exit, stdout: '' });
      expect(unknown.stderr).toBe(`understudy: ${message} (USAGE)\n`);
      expect((await understudy('pki', 'help', 'nonsense')).stderr).toContain(
        'understudy pki has no command "nonsense"',
      );
      expect(await understudy('help')).toMatchObject({ status: 0 });
    },
    SEVERAL_MS,
  );

  it(
    'cli - each command that has --json prints the documented object when it is refused, and when nobody answers',
    async () => {
      const withJson = (await everyCommand()).filter(({ help }) => / --json\b/.test(help));
      expect(withJson.length).toBeGreaterThan(20);
      for (const { words, help } of withJson) {
        const usage = /^Usage: understudy (.*)$/m.exec(help)?.[1] ?? '';
        // Something for each argument, and no installation.
        const needed = [...usage.matchAll(/<[^>]+>/g)].map(() => 'on');
        const where = / --file\b/.test(help) ? ['-f', join(folder, 'none.yaml')] : [];
        const cases = [
          ['--json', '--no-such-option'],
          [...needed, '--json', ...where],
        ];
        for (const rest of cases) {
          const { status, stdout, stderr } = await understudy(...words, ...rest);
          const what = `${words.join(' ')} ${rest.join(' ')}: ${stderr}`;
          if (status === 0) continue;
          expect(stdout.split('\n').length, what).toBe(2);
          const told = JSON.parse(stdout) as { ok: boolean; error: { code: string; message: string } };
          expect(told.ok, what).toBe(false);
          const failures = JSON.stringify(told);
          expect(failures, what).toMatch(/"code":"[A-Z_]+","message":"./);
        }
      }
    },
    patience(240_000),
  );

  it('cli - inspect of the name of a host without a controller says what is missing', async () => {
    const { status, stderr } = await understudy('inspect', 'web1');
    expect(status).toBe(errorRegistry.USAGE.exit);
    expect(stderr).toContain('there is no file "web1" here; the disk of a host is inspected with -f understudy.yaml');
    expect((await understudy('inspect', './web1.img')).stderr).toContain('no such file or directory');
  });
});
