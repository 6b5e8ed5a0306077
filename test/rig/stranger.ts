// A second user of the machine, without a name and without rights, and a folder that everybody may write.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export const STRANGER = 4711;
/** In front of a program that runs as the second user. */
export const AS_STRANGER = ['setpriv', `--reuid=${STRANGER}`, `--regid=${STRANGER}`, '--clear-groups', '--'] as const;

/** Runs a line of sh(1) as the second user; what it printed. */
export function asStranger(script: string, ...args: readonly string[]): string {
  const [program, ...rest] = [...AS_STRANGER, 'sh', '-eu', '-c', script, 'sh', ...args];
  const done = spawnSync(program ?? '', rest, { encoding: 'utf8', cwd: '/' });
  if (done.status !== 0) throw new Error(`${script}: ${done.stderr}`);
  return done.stdout;
}

/** What the second user can read of a file; null when it may not. */
export function readByStranger(path: string): Buffer | null {
  const [program, ...rest] = [...AS_STRANGER, 'cat', path];
  const done = spawnSync(program ?? '', rest, { cwd: '/', maxBuffer: 1 << 28 });
  return done.status === 0 ? done.stdout : null;
}

/** A folder that everybody may enter, with one in it that everybody may write; `undo` removes both. */
export function sharedFolder(mode = 0o777): { readonly path: string; readonly base: string; undo(): void } {
  const base = mkdtempSync('/tmp/understudy-shared-');
  chmodSync(base, 0o755);
  const path = join(base, 'shared');
  mkdirSync(path);
  chmodSync(path, mode);
  return { path, base, undo: () => rmSync(base, { recursive: true, force: true }) };
}
