// One copy of one image to some targets by one program: fresh targets, cold caches, one control group, wall time until
// everything is durable.
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { limits, runTool } from '../../src/base/mod.ts';
import { type ControlGroup, type GroupOptions, makeGroup } from './cgroup.ts';
import { dropCaches, writeRandomImage } from './image.ts';
import { attachLoop, makeBackingFile } from './loop.ts';
import { readyMemory } from './ready-memory.ts';
import { type Command, run, runTogether } from './run.ts';
import type { Workbench } from './workbench.ts';

export interface Job {
  readonly workbench: Workbench;
  readonly group: ControlGroup;
  readonly source: string;
  readonly sourceBytes: number;
  readonly targets: readonly string[];
  /** True when source and targets lie on tmpfs. */
  readonly inMemory: boolean;
}

export interface Contender {
  readonly name: string;
  /** True when the program wants its target files to exist with the right size. */
  readonly needsTargets: boolean;
  /** Why it cannot take part here, or null. */
  obstacle(): string | null;
  version(): Promise<string>;
  /** Copies to all targets; returns when everything is durable. */
  run(job: Job): Promise<void>;
}

/** Where targets are made: regular files, new for every run, or loop devices over files that stay. */
export interface Targets {
  readonly paths: readonly string[];
  prepare(sized: boolean): void;
  discard(): void;
}

export function fileTargets(folder: string, count: number, sizeBytes: number): Targets {
  const paths = numbered(folder, count);
  const discard = (): void => {
    for (const path of paths) rmSync(path, { force: true });
  };
  return {
    paths,
    discard,
    prepare: (sized) => {
      discard();
      if (sized) for (const path of paths) makeFile(path, sizeBytes);
    },
  };
}

/** Loop devices over fully allocated files; attached for the whole scope. */
export async function loopTargets(workbench: Workbench, count: number, sizeBytes: number): Promise<Targets> {
  const paths: string[] = [];
  for (const file of numbered(workbench.folder, count, 'device')) {
    await makeBackingFile(workbench, file, sizeBytes);
    paths.push((await attachLoop(workbench, file)).path);
  }
  return { paths, prepare: () => {}, discard: () => {} };
}

function numbered(folder: string, count: number, stem = 'target'): string[] {
  return Array.from({ length: count }, (_, index) => join(folder, `${stem}-${index + 1}.img`));
}

function makeFile(path: string, sizeBytes: number): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
}

export interface Measured {
  readonly seconds: number;
  /** Processor time of all processes of the run, those that outlive the copy included. */
  readonly cpuSeconds: number;
}

export interface RunOptions {
  readonly workbench: Workbench;
  readonly contender: Contender;
  readonly source: string;
  readonly sourceBytes: number;
  readonly targets: Targets;
  readonly inMemory: boolean;
  readonly warmPrograms: boolean;
  readonly group?: GroupOptions;
  /** Memory that the contender will use, made ready for it (rig/ready-memory.ts). */
  readonly readyMemoryBytes?: number;
  /** The source is in the page cache when the contender starts. */
  readonly warmSource?: boolean;
  /** Looks at the last target after the time is taken, and throws when it is not what it should be. */
  readonly check?: (target: string) => Promise<void>;
}

const WARM_UP_BYTES = 4 * limits.MIB;

/**
 * Forgets everything that is cached. With warm programs, the contender then copies something tiny outside the measured
 * group, so that its own files are in memory and the image is not: what a machine in use looks like.
 */
export async function prepareCaches(workbench: Workbench, contender: Contender, warmPrograms: boolean): Promise<void> {
  await dropCaches();
  if (!warmPrograms) return;
  await workbench.scope(async () => {
    const folder = join(workbench.folder, workbench.uniqueName('warm-up'));
    mkdirSync(folder);
    workbench.defer(() => rmSync(folder, { recursive: true }));
    const source = join(folder, 'source.img');
    writeRandomImage(source, WARM_UP_BYTES);
    const targets = fileTargets(folder, 1, WARM_UP_BYTES);
    targets.prepare(contender.needsTargets);
    const group = makeGroup(workbench);
    await contender.run({
      workbench,
      group,
      source,
      sourceBytes: WARM_UP_BYTES,
      targets: targets.paths,
      inMemory: false,
    });
    await group.emptied();
  });
}

async function readThrough(source: string): Promise<void> {
  const read = await runTool('dd', [`if=${source}`, 'of=/dev/null', 'bs=4M', 'status=none'], { timeoutMs: 600_000 });
  if (read.status !== 0) throw new Error(`dd: ${read.stderr.trim()}`);
}

export async function measure(options: RunOptions): Promise<Measured> {
  const { workbench, contender, source, sourceBytes, targets, inMemory } = options;
  return workbench.scope(async () => {
    const group = makeGroup(workbench, options.group);
    workbench.defer(() => targets.discard());
    targets.prepare(contender.needsTargets);
    await prepareCaches(workbench, contender, options.warmPrograms);
    if (options.warmSource === true) await readThrough(source);
    if (options.readyMemoryBytes !== undefined) readyMemory(options.readyMemoryBytes);
    const startMs = performance.now();
    await contender.run({ workbench, group, source, sourceBytes, targets: targets.paths, inMemory });
    const seconds = (performance.now() - startMs) / 1000;
    await group.emptied();
    const cpuSeconds = group.cpuSeconds();
    const last = targets.paths.at(-1) ?? '';
    if (!existsSync(last)) throw new Error(`${contender.name} made no target`);
    await options.check?.(last);
    return { seconds, cpuSeconds };
  });
}

/** A contender that is fast because it copies something else is no contender. */
export function sameBytes(source: string): (target: string) => Promise<void> {
  return async (target) => {
    const compared = await runTool('cmp', [source, target], { timeoutMs: 600_000 });
    if (compared.status !== 0) throw new Error(`not the same bytes: ${compared.stdout}${compared.stderr}`);
  };
}

/** For programs that do not flush by themselves: `sync` of the targets is part of their time. */
export async function flushTargets(job: Job): Promise<void> {
  await run(job.workbench, job.group, ['sync', ...job.targets] as Command);
}

export async function runAll(job: Job, commands: readonly Command[]): Promise<void> {
  await runTogether(job.workbench, job.group, commands);
}
