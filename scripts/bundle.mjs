// Joins what each process loads into one file: a copy starts three to ten JavaScript contexts, and loading seventy small
// modules in each costs more than all the rest of a start. The folders keep the relative places that the sources name
// (`../consumer/worker.js` and so on). Run by set-up after the compiler.
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Packages with files of their own beside them. */
const EXTERNAL = ['koffi', '@photostructure/sqlite'];

const ENTRIES = {
  'cli/understudy': 'bin/understudy.js',
  'carousel/index': 'src/replication/mod.js',
  'producer/main': 'src/replication/producer/main.js',
  'producer/worker': 'src/replication/producer/worker.js',
  'consumer/worker': 'src/replication/consumer/worker.js',
};

/** Bundles the compiled files of a checkout from dist/ into dist/run/. */
export async function bundle(root) {
  const output = join(root, 'dist/run');
  const made = join(root, `dist/run.${process.pid}`);
  // What did not compile is the compiler's to report.
  const compiled = Object.entries(ENTRIES).filter(([, input]) => existsSync(join(root, 'dist', input)));
  if (compiled.length === 0) return;
  const { rolldown } = await import('rolldown');
  for (const [name, input] of compiled) {
    const build = await rolldown({ input: join(root, 'dist', input), platform: 'node', external: EXTERNAL });
    await build.write({ file: join(made, `${name}.js`), format: 'esm', codeSplitting: false });
    await build.close();
  }
  // Put in place whole: a copy that runs starts threads and processes from these files.
  rmSync(output, { recursive: true, force: true });
  renameSync(made, output);
}

if (process.argv[2] !== undefined) await bundle(process.argv[2]);
