// `npm test`: lint, types and every test, then a look for anything left behind. `npm test -- PATH...` runs those test files
// only. The last line is `N passed, N failed, N skipped`. Plain JavaScript, like the set-up that runs just before it.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endRun, removeUnmounted } from './end-run.mjs';
import { leakedSince, snapshot } from './leaks.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node = process.execPath;

function say(line) {
  process.stdout.write(`${line}\n`);
}

/** Runs one gate to its end; true when it is clean. */
function gate(name, args) {
  const started = performance.now();
  const result = spawnSync(node, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  const clean = result.status === 0;
  say(`${clean ? 'ok' : 'FAILED'}: ${name} (${Math.round(performance.now() - started)} ms)`);
  return clean;
}

/** Vitest as a child, so that an interruption of us reaches it and the look for leaks still happens. */
function runVitest(paths, scratch, run) {
  const report = join(scratch, 'report.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const temporary = mkdtempSync(join(scratch, 't'));
  const child = spawn(node, [vitest, 'run', ...reporters, ...paths], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    // Every process that a test starts inherits the mark, and every temporary file goes where it can be found again.
    env: { ...process.env, UNDERSTUDY_TEST_RUN: run, TMPDIR: temporary },
  });
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      interrupted = true;
      child.kill(signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, report, temporary, interrupted }));
  });
}

/** Counts of vitest's report. A file that could not be loaded has no tests of its own, and counts as one failure. */
function countsOf({ status, report }) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  if (existsSync(report)) {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    counts.passed = result.numPassedTests;
    counts.failed = result.numFailedTests;
    counts.skipped = result.numPendingTests + result.numTodoTests;
    const unloaded = result.testResults.filter(
      (file) => file.status === 'failed' && file.assertionResults.length === 0,
    );
    counts.failed += unloaded.length;
  }
  // An error outside of any test, no test at all, or a killed run.
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

async function main() {
  const paths = process.argv.slice(2);
  const run = randomBytes(8).toString('hex');
  const scratch = mkdtempSync(join(tmpdir(), 'ust-'));
  const before = snapshot();
  let gatesFailed = 0;
  if (paths.length === 0) {
    const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
    if (!gate('lint', [biome, 'check', '--error-on-warnings', '.'])) gatesFailed += 1;
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    if (!gate('types', [tsc, '-p', root, '--noEmit'])) gatesFailed += 1;
  }
  const outcome = await runVitest(paths, scratch, run);
  const counts = countsOf(outcome);
  if (outcome.interrupted) await endRun(before, { run, temporary: outcome.temporary });
  const leaks = await leakedSince(before, { run, temporary: outcome.temporary });
  for (const leak of leaks) say(`FAILED: left behind: ${leak}`);
  counts.failed += gatesFailed + (leaks.length > 0 ? 1 : 0);
  removeUnmounted(scratch);
  say(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  const onCi = process.env.CI !== undefined && process.env.CI !== '' && process.env.CI !== 'false';
  if (counts.failed > 0 || (onCi && counts.skipped > 0)) process.exitCode = 1;
}

await main();
