// The rivals: how each is asked to do the same work. All are optional; an absent one is listed as absent.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findTool, runTool } from '../../src/base/mod.ts';
import { type Contender, flushTargets, type Job, runAll } from './contender.ts';
import { projectFolder } from './machine.ts';
import type { Command } from './run.ts';

/** Folder of npm packages that only benchmarks use, filled by `npm run bench -- --install-peers`. */
export function peerFolder(name: string): string {
  return join(projectFolder(), '.cache/bench/peers', name);
}

interface ToolPeer {
  readonly name: string;
  readonly tools: readonly string[];
  readonly versionOf: Command;
  /** @default true */
  readonly needsTargets?: boolean;
  commands(job: Job): readonly Command[];
}

/** A rival that is one installed program, or several. */
export function toolPeer(peer: ToolPeer): Contender {
  return {
    name: peer.name,
    needsTargets: peer.needsTargets ?? true,
    obstacle: () => {
      const missing = peer.tools.filter((tool) => findTool(tool) === null);
      return missing.length === 0 ? null : `${missing.join(', ')} not installed`;
    },
    version: () => firstLine(peer.versionOf),
    run: async (job) => {
      await runAll(job, peer.commands(job));
      await flushTargets(job);
    },
  };
}

async function firstLine(command: Command): Promise<string> {
  const [program, ...args] = command;
  const result = await runTool(program, args);
  return (`${result.stdout}${result.stderr}`.split('\n').find((line) => /\d/.test(line)) ?? 'unknown version').trim();
}

export const ddBuffered = toolPeer({
  name: 'dd x K buffered',
  tools: ['dd'],
  versionOf: ['dd', '--version'],
  commands: (job) =>
    job.targets.map((target) => ['dd', `if=${job.source}`, `of=${target}`, 'bs=1M', 'conv=notrunc', 'status=none']),
});

export const ddDirect = toolPeer({
  name: 'dd x K direct',
  tools: ['dd'],
  versionOf: ['dd', '--version'],
  commands: (job) =>
    job.targets.map((target) => [
      ...(['dd', `if=${job.source}`, `of=${target}`, 'bs=1M', 'conv=notrunc', 'status=none'] as const),
      ...['iflag=direct', 'oflag=direct'],
    ]),
});

export const dcfldd = toolPeer({
  name: 'dcfldd',
  tools: ['dcfldd'],
  versionOf: ['dcfldd', '--version'],
  commands: (job) => [
    [
      ...(['dcfldd', `if=${job.source}`, 'bs=1M', 'status=off', 'conv=notrunc'] as const),
      ...job.targets.map((target) => `of=${target}`),
    ],
  ],
});

export const mbuffer = toolPeer({
  name: 'mbuffer',
  tools: ['mbuffer'],
  versionOf: ['mbuffer', '--version'],
  commands: (job) => [
    [
      ...(['mbuffer', '-q', '-i', job.source] as const),
      ...job.targets.flatMap((target) => ['-f', '-o', target]),
      ...['-s', '1M', '-m', '64M'],
    ],
  ],
});

export const qemuImg = toolPeer({
  name: 'qemu-img convert x K',
  tools: ['qemu-img'],
  versionOf: ['qemu-img', '--version'],
  commands: (job) => {
    const cache = job.inMemory ? 'writeback' : 'none';
    return job.targets.map((target) => [
      ...(['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', '-W', '-m', '8'] as const),
      ...['-T', cache, '-t', cache, job.source, target],
    ]);
  },
});

// nbdkit's --run starts the copies when the server listens and ends the server with them.
const PARALLEL_NBDCOPY =
  'pids=; status=0; for t in $TARGETS; do nbdcopy --flush "$uri" "$t" & pids="$pids $!"; done; ' +
  'for p in $pids; do wait $p || status=1; done; exit $status';

export const nbdcopy = toolPeer({
  name: 'nbdcopy x K',
  tools: ['nbdcopy', 'nbdkit'],
  versionOf: ['nbdcopy', '--version'],
  commands: (job) => [
    [
      ...(['env', `TARGETS=${job.targets.join(' ')}`, 'nbdkit', '--exit-with-parent'] as const),
      ...['-U', '-', 'file', job.source, '--run', PARALLEL_NBDCOPY],
    ],
  ],
});

/** etcher-sdk with direct writes, as balenaEtcher drives it. */
export function etcher(...options: string[]): Contender {
  const folder = peerFolder('etcher-sdk');
  const script = join(projectFolder(), 'dist/bench/peers/etcher-copy.js');
  const command = (job: Job): Command => [process.execPath, script, folder, job.source, ...job.targets, ...options];
  return {
    name: ['etcher-sdk', ...options].join(' '),
    needsTargets: true,
    obstacle: () =>
      existsSync(join(folder, 'installed')) ? null : 'not installed; npm run bench -- --install-peers tries to',
    version: () => firstLine([process.execPath, script, folder, '--version']),
    run: async (job) => {
      await runAll(job, [command(job)]);
      await flushTargets(job);
    },
  };
}

export const allAtOncePeers: readonly Contender[] = [ddBuffered, ddDirect, dcfldd, mbuffer, qemuImg, nbdcopy, etcher()];
