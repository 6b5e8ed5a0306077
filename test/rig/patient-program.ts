// The program with waits that never end by time-out. What a wake-up should have done, a time-out heals after a quarter of a
// second, so no test of results sees that nobody rings; here such a copy does not end.
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Stage } from './stage.ts';

/** Longer than any test: limits that bound waits, and those that depend on them. */
const ENDLESS = {
  WAIT_MS_MAX: 3_600_000,
  LIVENESS_INTERVAL_MS: 3_600_000,
  SLOW_BUDGET_MS: 18_000_000,
  // A source that fails would wake everybody.
  IO_TIMEOUT_MS: 3_600_000,
};

/** The compiled files, not bundled, with other limits. The path of its command line. */
export function patientProgram(stage: Stage): string {
  const folder = stage.path('patient');
  const filter = (path: string): boolean => !/\.test\.js$|\.d\.ts$/.test(path);
  for (const part of ['bin', 'src'])
    cpSync(join('dist', part), join(folder, 'dist', part), { recursive: true, filter });
  cpSync('package.json', join(folder, 'package.json'));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  const limits = join(folder, 'dist/src/base/limits.js');
  let text = readFileSync(limits, 'utf8');
  for (const [name, milliseconds] of Object.entries(ENDLESS)) {
    const line = new RegExp(`^export const ${name} = [0-9_]+;$`, 'm');
    if (!line.test(text)) throw new Error(`${limits} has no line for ${name}`);
    text = text.replace(line, `export const ${name} = ${milliseconds};`);
  }
  writeFileSync(limits, text);
  return join(folder, 'dist/bin/understudy.js');
}
