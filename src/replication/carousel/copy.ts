// copy(): from names to finished targets. The main thread identifies, checks and asks; then worker threads write, a
// detached process reads, and the main thread only looks on.
import { fileURLToPath } from 'node:url';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import type { ConsumerTask, Extent, TargetResult } from '../consumer/mod.ts';
import { resolveExtent, withLocalView } from '../extent/mod.ts';
import type { ProducerOptions } from '../producer/mod.ts';
import { meet, type ProducerCommand, ringPath, runtimeFolder, sweepStale } from '../ring/mod.ts';
import { type IdentifiedSource, identifySource, prepareSource } from '../source/mod.ts';
import { sweepTargetLocks, type TargetSpec } from '../target/mod.ts';
import { checkTarget, type TargetFacts } from '../target-safety/mod.ts';
import { abortMembers, failedResult, type Member, startMember } from './crew.ts';
import { type CopyConfig, type CopyOptions, type CopyResult, resolveOptions } from './options.ts';
import { mayHaveToAsk, SourceLook } from './source-look.ts';
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
  const { format, insecure, keyFile } = config;
  const source = await identifySource({ uri: config.source, format, insecure, keyFile });
  const rendezvous = await meet(ringPath(folder, source.identity), config.targets.length);
  const watch = new RingWatch(rendezvous, producerOf(source, rendezvous.path, config));
  try {
    // The producer comes up while targets are looked at; it reads nothing before they have arrived.
    watch.ensureProducer();
    const look = new SourceLook(source, watch, config);
    const checked = await Promise.all(config.targets.map((uri) => settleTarget(uri, source, look, config)));
    refuseTwins(checked);
    const ready = checked.filter((one) => 'spec' in one).map((one) => one.spec);
    if (ready.length === 0) return nothingCopied(source, checked);
    watch.countArrivals(checked.length - ready.length);
    const extent = await findExtent(source, config);
    if (config.signal?.aborted === true) throw new UnderstudyError('INTERRUPTED', 'the copy was stopped');
    const members = ready.map((target) => startMember(taskOf(source, target, extent, config), rendezvous.fd));
    return await finish(source, checked, members, watch, look, config);
  } finally {
    await watch.leave();
  }
}

function producerOf(source: IdentifiedSource, path: string, config: CopyConfig): ProducerCommand {
  const options: ProducerOptions = {
    source,
    ringPath: path,
    blockBytes: config.blockBytes ?? null,
    bufferBytes: config.bufferBytes ?? null,
    direct: config.direct,
    look: mayHaveToAsk(config),
  };
  const stdin = source.kind === 'stdin' || source.path === '/proc/self/fd/0' ? 0 : 'ignore';
  return { program: producerProgram, options: JSON.stringify(options), stdin };
}

async function finish(
  source: IdentifiedSource,
  checked: readonly Checked[],
  members: readonly Member[],
  watch: RingWatch,
  look: SourceLook,
  config: CopyConfig,
): Promise<CopyResult> {
  const abort = (): void => {
    abortMembers(members);
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
      checked.map((one) => ('spec' in one ? resultOf(one.spec, members) : Promise.resolve(one.result))),
    );
    return {
      ok: results.every((result) => result.ok),
      source: {
        uri: config.source,
        bytes: ring?.getDouble('sourceBytes') ?? 0,
        blockSize: ring?.geometry.blockBytes ?? 0,
        id: source.identity,
        warnings: look.warnings(),
      },
      producer: { bytesRead: ring?.getDouble('bytesRead') ?? 0, sweeps: ring?.get('sweeps') ?? 0 },
      targets: results,
    };
  } finally {
    config.signal?.removeEventListener('abort', abort);
  }
}

async function resultOf(spec: TargetSpec, members: readonly Member[]): Promise<TargetResult> {
  const member = members.find((one) => one.task.target === spec);
  if (member === undefined) throw new Error(`no worker for ${spec.uri}`);
  return member.result;
}

type Checked = { readonly spec: TargetSpec } | { readonly result: TargetResult };

/** Checks one target and asks for leave; a refusal is that target's result. */
async function settleTarget(
  uri: string,
  source: IdentifiedSource,
  look: SourceLook,
  config: CopyConfig,
): Promise<Checked> {
  try {
    const facts = await checkTarget({ target: uri, sourceIdentity: source.storage, sourcePath: source.path });
    const doubt = facts.kind === 'new-file' ? null : await look.doubt();
    if ((facts.needsConfirmation || doubt !== null) && !config.overwrite && !(await confirmed(facts, doubt, config))) {
      const holds = facts.needsConfirmation ? [`${uri} holds ${facts.contents ?? 'data'}`] : [];
      const advice = config.confirm === undefined ? '; --yes copies all the same' : '';
      const why = [...(doubt === null ? [] : [doubt]), ...holds].join('; ');
      throw new UnderstudyError('TARGET_NOT_CONFIRMED', `${why}; nothing was written${advice}`);
    }
    const kind = facts.kind === 'new-file' ? 'file' : facts.kind;
    return { spec: { kind, uri, path: facts.path, identity: facts.identity, direct: config.direct !== 'off' } };
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return { result: failedResult(uri, { code, message: messageOf(error) }) };
  }
}

async function confirmed(facts: TargetFacts, doubt: string | null, config: CopyConfig): Promise<boolean> {
  // What an interrupted copy left on a device is what is to be gone on with.
  if (config.resume && facts.kind !== 'file') return true;
  return (await config.confirm?.(facts, doubt)) ?? false;
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
    const place =
      descriptor.kind === 'file' ? descriptor.path : descriptor.uri.replace('/proc/self/', `/proc/${process.pid}/`);
    return await withLocalView(place, (view) => resolveExtent(request, view));
  } finally {
    await prepared.close();
  }
}

function extentUnsupported(source: IdentifiedSource): UnderstudyError {
  const message = `${source.uri} is a stream or lies in a container; only all of it or --bytes can be copied`;
  return new UnderstudyError('EXTENT_UNSUPPORTED', message);
}

function taskOf(source: IdentifiedSource, target: TargetSpec, extent: Extent, config: CopyConfig): ConsumerTask {
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
    source: { uri: source.uri, bytes: 0, blockSize: 0, id: source.identity, warnings: [] },
    producer: { bytesRead: 0, sweeps: 0 },
    targets: checked.flatMap((one) => ('result' in one ? [one.result] : [])),
  };
}
