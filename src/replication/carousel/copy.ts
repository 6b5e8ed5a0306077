// copy(): from names to finished targets. The main thread identifies, checks and asks; then worker threads write, a
// detached process reads, and the main thread only looks on.
import { fileURLToPath } from 'node:url';
import { codeOf, limits, messageOf, UnderstudyError } from '../../base/mod.ts';
import type { ConsumerTask, Extent, TargetResult } from '../consumer/mod.ts';
import { resolveExtent, withLocalView } from '../extent/mod.ts';
import type { ProducerOptions } from '../producer/mod.ts';
import { meet, type ProducerCommand, ringPath, runtimeFolder, sweepStale } from '../ring/mod.ts';
import { type IdentifiedSource, identifySource, prepareSource } from '../source/mod.ts';
import { sweepTargetLocks, type TargetSpec } from '../target/mod.ts';
import { checkTarget, type TargetFacts } from '../target-safety/mod.ts';
import { Crew, notCopied } from './crew.ts';
import { type CopyConfig, type CopyOptions, type CopyResult, resolveOptions } from './options.ts';
import { startStoredDigest } from './stored-file.ts';
import { RingWatch } from './watch.ts';

const producerProgram = fileURLToPath(new URL('../producer/main.js', import.meta.url));

/**
 * Copies one source to its targets, joining the copy of the same source that already runs on this machine, if any. A
 * target's failure is in its result; the promise rejects for what concerns the source or the whole request.
 * @throws USAGE, SOURCE_*, FORMAT_UNKNOWN, EXTENT_UNSUPPORTED, RING_*, TOOL_MISSING
 */
export async function copy(options: CopyOptions): Promise<CopyResult> {
  const config = resolveOptions(options);
  const folder = runtimeFolder();
  sweepStale(folder);
  sweepTargetLocks(folder);
  const source = await identifySource({ uri: config.source, format: config.format, insecure: config.insecure });
  const quorum = Math.min(config.targets.length, limits.CONSUMERS_MAX);
  const rendezvous = await meet(ringPath(folder, source.identity), quorum);
  const ended = new AbortController();
  const watch = new RingWatch(rendezvous, producerOf(source, rendezvous.path, config), config.source);
  try {
    // The producer comes up while targets are looked at; it reads nothing before they have arrived.
    watch.ensureProducer();
    const checked = await unlessStopped(
      config,
      Promise.all(config.targets.map((uri) => settleTarget(uri, source, config))),
    );
    refuseTwins(checked);
    const ready = checked.filter((one) => 'spec' in one).map((one) => one.spec);
    if (ready.length === 0) return nothingCopied(source, checked);
    watch.countArrivals(checked.length - ready.length);
    refuseQueue(ready.length, source);
    // To the end, also when stopped: what it mounts it has to unmount.
    const extent = await findExtent(source, config);
    if (config.signal?.aborted === true) throw new UnderstudyError('INTERRUPTED', 'the copy was stopped');
    const stored = startStoredDigest(source, config, ended.signal);
    const tasks = ready.map((target) => ({ ...taskOf(source, target, extent, config), stored }));
    return await finish(source, checked, new Crew(tasks, rendezvous.fd), watch, config);
  } finally {
    ended.abort();
    await watch.leave();
  }
}

/** @throws INTERRUPTED as soon as the copy is stopped, also while programs look at targets or somebody is asked */
async function unlessStopped<T>(config: CopyConfig, work: Promise<T>): Promise<T> {
  const { signal } = config;
  if (signal === undefined) return work;
  const done = new AbortController();
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new UnderstudyError('INTERRUPTED', 'the copy was stopped'));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { signal: done.signal });
  });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    done.abort();
  }
}

/** Targets beyond the rows of a ring wait for others to end; by then what can be read once has gone by. */
function refuseQueue(targets: number, source: IdentifiedSource): void {
  if (source.access !== 'once' || targets <= limits.CONSUMERS_MAX) return;
  const why = `${source.uri === '-' ? 'standard input' : source.uri} can be read only once`;
  throw new UnderstudyError(
    'RING_CONSUMERS_MAX',
    `${why}, so at most ${limits.CONSUMERS_MAX} targets can be written, not ${targets}; save it in a file first`,
  );
}

function producerOf(source: IdentifiedSource, path: string, config: CopyConfig): ProducerCommand {
  const options: ProducerOptions = {
    source,
    ringPath: path,
    blockBytes: config.blockBytes ?? null,
    bufferBytes: config.bufferBytes ?? null,
    direct: config.direct,
  };
  const stdin = source.kind === 'stdin' || source.path === '/proc/self/fd/0' ? 0 : 'ignore';
  return { program: producerProgram, options: JSON.stringify(options), stdin };
}

async function finish(
  source: IdentifiedSource,
  checked: readonly Checked[],
  crew: Crew,
  watch: RingWatch,
  config: CopyConfig,
): Promise<CopyResult> {
  const { members } = crew;
  const abort = (): void => {
    crew.abort();
    watch.ring?.wakeConsumers();
  };
  config.signal?.addEventListener('abort', abort);
  if (config.signal?.aborted === true) abort();
  const report = (): void => config.onProgress?.(watch.progress(members));
  try {
    await watch.untilDone(members, report);
    const ring = watch.ring;
    const results = await Promise.all(
      checked.map((one) => ('spec' in one ? resultOf(one.spec, crew) : Promise.resolve(one.result))),
    );
    return {
      ok: results.every((result) => result.ok),
      source: {
        uri: config.source,
        bytes: ring?.getDouble('sourceBytes') ?? 0,
        blockSize: ring?.geometry.blockBytes ?? 0,
        id: source.identity,
      },
      producer: { bytesRead: ring?.getDouble('bytesRead') ?? 0, sweeps: ring?.get('sweeps') ?? 0 },
      targets: results,
    };
  } finally {
    config.signal?.removeEventListener('abort', abort);
  }
}

async function resultOf(spec: TargetSpec, crew: Crew): Promise<TargetResult> {
  const member = crew.members.find((one) => one.task.target === spec);
  if (member === undefined) throw new Error(`no worker for ${spec.uri}`);
  return member.result;
}

type Checked = { readonly spec: TargetSpec } | { readonly result: TargetResult };

/** Checks one target and asks for leave; a refusal is that target's result. */
async function settleTarget(uri: string, source: IdentifiedSource, config: CopyConfig): Promise<Checked> {
  try {
    const facts = await checkTarget({ target: uri, sourceIdentity: source.storage, sourcePath: source.path });
    if (facts.needsConfirmation && !config.overwrite && !(await confirmed(facts, config))) {
      throw new UnderstudyError(
        'TARGET_NOT_CONFIRMED',
        `${uri} holds ${facts.contents ?? 'data'}; nothing was written`,
      );
    }
    const kind = facts.kind === 'new-file' ? 'file' : facts.kind;
    return { spec: { kind, uri, path: facts.path, identity: facts.identity, direct: config.direct !== 'off' } };
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return { result: notCopied(uri, { code, message: messageOf(error) }) };
  }
}

async function confirmed(facts: TargetFacts, config: CopyConfig): Promise<boolean> {
  // What an interrupted copy left on a device is what is to be gone on with.
  if (config.resume && facts.kind !== 'file') return true;
  return (await config.confirm?.(facts)) ?? false;
}

/** Two names of one target in one request are a mistake, not two copies. */
function refuseTwins(checked: readonly Checked[]): void {
  const seen = new Map<string, string>();
  for (const one of checked) {
    if (!('spec' in one)) continue;
    const other = seen.get(one.spec.identity);
    if (other !== undefined) throw new UnderstudyError('USAGE', `${other} and ${one.spec.uri} are the same target`);
    seen.set(one.spec.identity, one.spec.uri);
  }
}

async function findExtent(source: IdentifiedSource, config: CopyConfig): Promise<Extent> {
  const request = config.extent;
  if (request.kind === 'whole') return { endBytes: null, skip: [] };
  if (request.kind === 'bytes') return { endBytes: request.bytes, skip: [] };
  // Tools need a path. Images that only QEMU reads are served for a moment by a server of our own.
  const prepared = await prepareSource(source);
  try {
    const { descriptor } = prepared;
    if (descriptor.kind === 'stream') {
      throw new UnderstudyError(
        'EXTENT_UNSUPPORTED',
        `${source.uri} is a stream; only all of it or --bytes can be copied`,
      );
    }
    // The server of an image is reached through a descriptor of this process; the tools of the view are other processes.
    const place =
      descriptor.kind === 'file' ? descriptor.path : descriptor.uri.replace('/proc/self/', `/proc/${process.pid}/`);
    return await namedByUser(place, source.uri, () => withLocalView(place, (view) => resolveExtent(request, view)));
  } finally {
    await prepared.close();
  }
}

/** Tools complain of the name that they were given, which nobody else knows. */
async function namedByUser<T>(inner: string, uri: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UnderstudyError) || !error.message.includes(inner)) throw error;
    throw new UnderstudyError(error.code, error.message.replaceAll(inner, uri), {
      cause: error,
      details: error.details,
    });
  }
}

function taskOf(
  source: IdentifiedSource,
  target: TargetSpec,
  extent: Extent,
  config: CopyConfig,
): Omit<ConsumerTask, 'stored'> {
  return {
    source,
    target,
    extent,
    join: config.join,
    pace: config.onSlow === 'pace',
    onReadError: config.onReadError,
    verify: config.verify,
    resume: config.resume,
    resumable: config.resumable,
    limitRate: config.limitRate ?? null,
    digest: config.digest,
    expect: config.expect,
  };
}

function nothingCopied(source: IdentifiedSource, checked: readonly Checked[]): CopyResult {
  return {
    ok: false,
    source: { uri: source.uri, bytes: 0, blockSize: 0, id: source.identity },
    producer: { bytesRead: 0, sweeps: 0 },
    targets: checked.flatMap((one) => ('result' in one ? [one.result] : [])),
  };
}
