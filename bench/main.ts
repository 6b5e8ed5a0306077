// npm run bench: runs the questions asked for, prints their tables, and puts them into docs/benchmarks.md with --write.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, EXIT_INTERNAL, errorRegistry, messageOf, UnderstudyError } from '../src/base/mod.ts';
import { agent } from './agent.ts';
import { allAtOnce } from './all-at-once.ts';
import { capacity } from './capacity/mod.ts';
import { cost } from './cost.ts';
import { detection } from './detection.ts';
import { digest } from './digest.ts';
import { direct } from './direct.ts';
import { disk } from './disk.ts';
import { floods } from './floods.ts';
import { gather } from './gather.ts';
import { http } from './http.ts';
import { identity } from './identity.ts';
import { nbdTls } from './nbd-tls.ts';
import { type BenchOptions, parseOptions, usage } from './options.ts';
import { installPeers } from './peers/install.ts';
import type { Question } from './question.ts';
import { formatDocument, formatReport, mergeReport, type Report, type Run, type Section } from './report.ts';
import { describeMachine, projectFolder } from './rig/machine.ts';
import { oursObstacle } from './rig/ours.ts';
import { Workbench } from './rig/workbench.ts';
import { slowTarget } from './slow-target.ts';
import { sparse } from './sparse.ts';
import { staggered } from './staggered.ts';
import { verify } from './verify.ts';

const questions: readonly Question[] = [
  allAtOnce,
  staggered,
  gather,
  slowTarget,
  cost,
  sparse,
  verify,
  digest,
  direct,
  http,
  disk,
  agent,
  capacity,
  identity,
  detection,
  nbdTls,
  floods,
];

const EXIT_INTERRUPTED = errorRegistry.INTERRUPTED.exit;

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function chosen(options: BenchOptions): readonly Question[] {
  const unknown = options.names.find((name) => !questions.some((question) => question.name === name));
  const names = questions.map((question) => question.name).join(', ');
  if (unknown !== undefined) {
    throw new UnderstudyError('USAGE', `no question "${unknown}"; there are ${names}`);
  }
  return options.names.length === 0 ? questions : questions.filter((question) => options.names.includes(question.name));
}

async function measureAll(options: BenchOptions, workbench: Workbench): Promise<void> {
  const described = await describeMachine(workbench.folder);
  const machine = options.warmPrograms ? `${described}, with the programs themselves in the page cache` : described;
  const run: Run = { command: commandOf(process.argv.slice(2)), machine };
  for (const question of chosen(options)) {
    const report = await workbench.scope(() => question.run({ workbench, options, say }));
    process.stdout.write(`${formatReport(report, run)}\n\n`);
    if (options.write) writeDocument(report, run);
  }
}

/** What somebody types to measure the same again; the folder is a matter of the machine. */
function commandOf(words: readonly string[]): string {
  const kept = words.filter((word, index) => word !== '--write' && word !== '--dir' && words[index - 1] !== '--dir');
  return ['npm run bench --', ...kept].join(' ');
}

/** After every question, so that an interrupted run keeps what it has. */
function writeDocument(report: Report, run: Run): void {
  const folder = join(projectFolder(), 'docs');
  const data = join(folder, 'benchmarks.json');
  const before = existsSync(data) ? (JSON.parse(readFileSync(data, 'utf8')) as Section[]) : [];
  const sections = mergeReport(before, report, run);
  writeFileSync(data, `${JSON.stringify(sections, null, 1)}\n`);
  writeFileSync(join(folder, 'benchmarks.md'), formatDocument(sections));
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${usage}\n\nQuestions: ${questions.map((question) => question.name).join(', ')}\n`);
    return 0;
  }
  if (options.installPeers) {
    await installPeers(say);
    return 0;
  }
  // Certificates that a site wants trusted are parsed at every start of Node.js: the site's cost, and neither ours nor
  // etcher-sdk's.
  delete process.env.NODE_EXTRA_CA_CERTS;
  chosen(options);
  const obstacle = oursObstacle();
  if (obstacle !== null) throw new UnderstudyError('USAGE', obstacle);
  const workbench = new Workbench(options.folder ?? join(projectFolder(), '.cache/bench'));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt(workbench));
  try {
    await measureAll(options, workbench);
    return 0;
  } catch (error) {
    // What fails while everything is being ended fails because of that.
    if (workbench.interrupted) return EXIT_INTERRUPTED;
    throw error;
  } finally {
    await workbench.close();
  }
}

function interrupt(workbench: Workbench): void {
  if (!workbench.interrupted) say('ending: stopping what was started and removing what was made');
  workbench.close().catch((error: unknown) => say(String(error)));
}

try {
  process.exitCode = await main();
} catch (error) {
  const code = codeOf(error);
  if (code === 'USAGE') say(`${messageOf(error)}\n\n${usage}`);
  else say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = code === null ? EXIT_INTERNAL : errorRegistry[code].exit;
}
