// copy(): from names to finished targets. The main thread identifies, checks and asks; then worker threads write, a
// detached process reads, and the main thread only looks on.
import { readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { limits, UnderstudyError, withoutSecrets } from '../../base/mod.ts';
import type { ConsumerTask, Extent, TargetResult } from '../consumer/mod.ts';
import { resolveIsolated, withLocalView } from '../extent/mod.ts';
import type { ProducerOptions } from '../producer/mod.ts';
import { meet, type ProducerCommand, ringPath, runtimeFolder, sweepStale } from '../ring/mod.ts';
import {
  asInherited,
  type HeldSource,
  holdSource,
  type IdentifiedSource,
  identifySource,
  nameOfSource,
  type PreparedSource,
  prepareSource,
} from '../source/mod.ts';
import { sweepTargetLocks, type TargetSpec } from '../target/mod.ts';
import { Crew } from './crew.ts';
import { type CopyConfig, type CopyOptions, type CopyResult, resolveOptions } from './options.ts';
import { type Checked, refuseTwins, settleTarget } from './settle.ts';
import { mayHaveToAsk, SourceLook } from './source-look.ts';
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
  const { format, insecure, cacert, keyFile } = config;
  const identified = await identifySource({ uri: config.source, format, insecure, cacert, keyFile });
  const held = holdSource(identified);
  try {
    return await copyHeld(identified, held, folder, config);
  } finally {
    held.close();
  }
}

async function copyHeld(
  identified: IdentifiedSource,
  held: HeldSource,
  folder: string,
  config: CopyConfig,
): Promise<CopyResult> {
  const { source } = held;
  const quorum = Math.min(config.targets.length, limits.CONSUMERS_MAX);
  const rendezvous = await meet(ringPath(folder, `${source.identity}${namespaceOf(source)}`), quorum);
  const ended = new AbortController();
  const watch = new RingWatch(rendezvous, producerOf(held, rendezvous.path, config), nameOfSource(source.uri));
  try {
    // The producer comes up while targets are looked at; it reads nothing before they have arrived.
    watch.ensureProducer();
    const look = new SourceLook(source, watch, config);
    const checked = await unlessStopped(
      config,
      Promise.all(config.targets.map((uri) => settleTarget(uri, source, look, config))),
    );
    refuseTwins(checked);
    const ready = checked.filter((one) => 'spec' in one).map((one) => one.spec);
    if (ready.length === 0) return nothingCopied(source, checked);
    watch.countArrivals(checked.length - ready.length);
    refuseQueue(ready.length, source);
    // To the end, also when stopped: what it mounts it has to unmount.
    const extent = await findExtent(identified, config);
    if (config.signal?.aborted === true) throw new UnderstudyError('INTERRUPTED', 'the copy was stopped');
    const stored = startStoredDigest(source, config, ended.signal);
    const tasks = ready.map((target) => ({ ...taskOf(source, target, extent, config), stored }));
    return await finish(source, checked, new Crew(tasks, rendezvous.fd), watch, look, config);
  } finally {
    ended.abort();
    await watch.leave();
  }
}

/**
 * What an address means depends on the network namespace, and a socket's path on the mount namespace; both may be
 * others for processes that share /dev/shm (`ip netns exec`, PrivateTmp= of systemd). Files and devices are the same in
 * all.
 */
function namespaceOf({ kind, storage }: IdentifiedSource): string {
  if (kind !== 'nbd' && kind !== 'http') return '';
  return readlinkSync(`/proc/self/ns/${storage.includes('+unix:') ? 'mnt' : 'net'}`);
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
  const why = `${nameOfSource(source.uri)} can be read only once`;
  throw new UnderstudyError(
    'RING_CONSUMERS_MAX',
    `${why}, so at most ${limits.CONSUMERS_MAX} targets can be written, not ${targets}; save it in a file first`,
  );
}

function producerOf({ source, fd }: HeldSource, path: string, config: CopyConfig): ProducerCommand {
  const options: ProducerOptions = {
    source: asInherited(source),
    ringPath: path,
    blockBytes: config.blockBytes ?? null,
    bufferBytes: config.bufferBytes ?? null,
    direct: config.direct,
    gatherMs: config.gatherMs,
    look: mayHaveToAsk(config),
    storedDigest: config.expect !== null && (source.kind === 'http' || source.kind === 'stdin'),
  };
  return { program: producerProgram, options: JSON.stringify(options), stdin: fd ?? 'ignore' };
}

async function finish(
  source: IdentifiedSource,
  checked: readonly Checked[],
  crew: Crew,
  watch: RingWatch,
  look: SourceLook,
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
    look.lookAside();
    await watch.untilDone(members, report);
    const ring = watch.ring;
    const results = await Promise.all(
      checked.map((one) => ('spec' in one ? resultOf(one.spec, crew) : Promise.resolve(one.result))),
    );
    return {
      ok: results.every((result) => result.ok),
      source: {
        uri: withoutSecrets(source.uri),
        bytes: ring?.getDouble('sourceBytes') ?? 0,
        blockSize: ring?.geometry.blockBytes ?? 0,
        id: withoutSecrets(source.identity),
        warnings: look.warnings(),
      },
      producer: { bytesRead: ring?.getDouble('bytesRead') ?? 0, sweeps: ring?.get('sweeps') ?? 0 },
      targets: results.map((result) => ({ ...result, uri: withoutSecrets(result.uri) })),
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

async function findExtent(source: IdentifiedSource, config: CopyConfig): Promise<Extent> {
  const request = config.extent;
  if (request.kind === 'whole') return { endBytes: null, skip: [] };
  if (request.kind === 'bytes') return { endBytes: request.bytes, skip: [] };
  if (source.kind === 'stdin') throw extentUnsupported(source);
  // Tools need a path. Images that only QEMU reads are served for a moment by a server of our own.
  const prepared = await prepareSource(source);
  try {
    const { descriptor } = prepared;
    if (descriptor.kind === 'stream' || (descriptor.kind === 'file' && descriptor.window !== null)) {
      throw extentUnsupported(source);
    }
    // The server of an image is reached through a descriptor of this process; the tools of the view are other
    // processes.
    const place = await placeOf(prepared);
    return await namedByUser(place, source.uri, () => withLocalView(place, (view) => resolveIsolated(request, view)));
  } finally {
    await prepared.close();
  }
}

/** Where other programs find the bytes of a prepared source that is no stream. */
async function placeOf({ descriptor, localUri }: PreparedSource): Promise<string> {
  if (descriptor.kind === 'file') return descriptor.path;
  return localUri === undefined ? descriptor.uri.replace('/proc/self/', `/proc/${process.pid}/`) : localUri();
}

function extentUnsupported(source: IdentifiedSource): UnderstudyError {
  const message = `${nameOfSource(source.uri)} is a stream, or is stored in a compressed file or an archive, so --extent cannot be determined; copy all of it, or use --bytes`;
  return new UnderstudyError('EXTENT_UNSUPPORTED', message);
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
    gpt: config.gpt,
  };
}

function nothingCopied(source: IdentifiedSource, checked: readonly Checked[]): CopyResult {
  return {
    ok: false,
    source: {
      uri: withoutSecrets(source.uri),
      bytes: 0,
      blockSize: 0,
      id: withoutSecrets(source.identity),
      warnings: [],
    },
    producer: { bytesRead: 0, sweeps: 0 },
    targets: checked.flatMap((one) =>
      'result' in one ? [{ ...one.result, uri: withoutSecrets(one.result.uri) }] : [],
    ),
  };
}
