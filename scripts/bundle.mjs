// Joins what each process loads into one file: a copy starts three to ten JavaScript contexts, and loading seventy
// small modules in each costs more than all the rest of a start. The folders keep the relative places that the sources
// name (`../consumer/worker.js` and so on). Run by set-up after the compiler.
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Packages with files of their own beside them; and the client of HTTP, which most copies do not need. */
const EXTERNAL = ['@photostructure/sqlite', 'fastify', '@fastify/swagger', 'fastify-type-provider-zod', 'undici'];

/** What is in a bundle that others wrote, with their terms, which ask for that. */
const LICENCES = 'licences.txt';

/** Bundles beside the one that loads them, on demand. */
const ON_DEMAND = ['./service-commands.js', './agent-command.js', './installation-commands.js'];

/**
 * The first lines of the command: a script for sh(1) that starts Node.js with the same file, to which its second line
 * is a string and a comment. Node.js forgets at its start which signals were ignored; the shell reads that before it
 * (src/base/ending-signals.ts).
 */
const LAUNCHER = [
  '#!/bin/sh',
  [
    '":" //; while read -r key value; do [ "$key" != SigIgn: ] || UNDERSTUDY_SIGNALS_IGNORED="$value"',
    'done </proc/$$/status 2>/dev/null',
    'export UNDERSTUDY_SIGNALS_IGNORED',
    'exec node "$0" "$@"',
  ].join('; '),
].join('\n');

const ENTRIES = {
  'cli/understudy': { input: 'bin/understudy.js', format: 'esm', head: LAUNCHER },
  'cli/service-commands': { input: 'bin/service-commands.js', format: 'esm' },
  'cli/agent-command': { input: 'bin/agent-command.js', format: 'esm' },
  'cli/installation-commands': { input: 'bin/installation-commands.js', format: 'esm' },
  'carousel/index': { input: 'src/replication/mod.js', format: 'esm' },
  // One or more of these start with every copy, and Node.js 20 starts a thread faster from a CommonJS file.
  'producer/main': { input: 'src/replication/producer/main.js', format: 'cjs' },
  'producer/worker': { input: 'src/replication/producer/worker.js', format: 'cjs' },
  'consumer/worker': { input: 'src/replication/consumer/worker.js', format: 'cjs' },
  // One for each image that is opened.
  'isolated/main': { input: 'src/identity/isolated/main.js', format: 'cjs' },
  'isolated/extent': { input: 'src/replication/extent/isolated-main.js', format: 'cjs' },
};

/** Goes to hosts as one file, for whatever Node.js they have from 18 on. */
const AGENT = { name: 'agent/agent', input: 'bin/agent.js', target: 'node18' };

/** Bundles the compiled files of a checkout from dist/ into dist/run/. */
export async function bundle(root) {
  const output = join(root, 'dist/run');
  const made = join(root, `dist/run.${process.pid}`);
  // What did not compile is the compiler's to report.
  const compiled = Object.entries(ENTRIES).filter(([, { input }]) => existsSync(join(root, 'dist', input)));
  if (compiled.length === 0) return;
  const { rolldown } = await import('rolldown');
  const packages = new Set();
  for (const [name, { input, format, head }] of compiled) {
    const external = (id) => ON_DEMAND.includes(id) || EXTERNAL.some((one) => id === one || id.startsWith(`${one}/`));
    // No module of ours is imported for what it does when loaded, so one of which nothing is used can go, with all it
    // imports. Packages say for themselves which of theirs are.
    const treeshake = { moduleSideEffects: (id) => (id.includes('/node_modules/') ? undefined : false) };
    const build = await rolldown({ input: join(root, 'dist', input), platform: 'node', external, treeshake });
    const { output: chunks } = await build.write({
      file: join(made, `${name}.js`),
      format,
      codeSplitting: false,
    });
    await build.close();
    // Not by the bundler, which leaves comments out.
    if (head !== undefined) prepend(join(made, `${name}.js`), `${head}\n`);
    if (format === 'cjs') markCommonJs(join(made, dirname(name)));
    for (const folder of packagesIn(chunks)) packages.add(folder);
  }
  if (existsSync(join(root, 'dist', AGENT.input))) {
    for (const folder of packagesIn(await bundleAgent(root, made, rolldown))) packages.add(folder);
  }
  writeFileSync(join(made, LICENCES), [...packages].sort().map(termsOf).join('\n'));
  // Put in place whole: a copy that runs starts threads and processes from these files.
  rmSync(output, { recursive: true, force: true });
  renameSync(made, output);
}

/** As CommonJS, because a file that is alone in a folder is read as that, whatever it is called. */
async function bundleAgent(root, made, rolldown) {
  const { name, input, target } = AGENT;
  const build = await rolldown({ input: join(root, 'dist', input), platform: 'node', transform: { target } });
  const { output } = await build.write({ file: join(made, `${name}.js`), format: 'cjs', codeSplitting: false });
  await build.close();
  const outside = output.flatMap(({ imports = [] }) => imports).filter((from) => !from.startsWith('node:'));
  if (output.length !== 1 || outside.length > 0) throw new Error(`the agent is not one file alone: ${outside}`);
  markCommonJs(join(made, dirname(name)));
  return output;
}

function prepend(file, text) {
  writeFileSync(file, text + readFileSync(file, 'utf8'));
  chmodSync(file, 0o755);
}

/** What lies there is in a package of ES modules otherwise. */
function markCommonJs(folder) {
  writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }\n');
}

/** Folders of the packages that modules of a bundle come from. */
function packagesIn(chunks) {
  const modules = chunks.flatMap(({ moduleIds = [] }) => moduleIds);
  return modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id) ?? []);
}

function termsOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((one) => /^licen[cs]e(\.(md|txt))?$/i.test(one));
  if (file === undefined) throw new Error(`${name} has no file with its terms, which a bundle must have`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
}

if (process.argv[2] !== undefined) await bundle(process.argv[2]);
