// What replay and simulate take: a policy, and signals from a file or a Prometheus server.
import { readFile } from 'node:fs/promises';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { loadPolicy, type RawPolicy, signalPolicyOf } from '../../config/mod.ts';
import { type Policy, parsePrometheus, parseRecording, type Recording } from '../../replay/mod.ts';
import type { HostModel } from '../../simulation/mod.ts';

const PROMETHEUS_TIMEOUT_MS = 60_000;

/** @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export async function policyIn(file: string): Promise<Policy> {
  return policyOf(await loadPolicy(file));
}

/** A policy, and what hosts are like. @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export async function modelIn(file: string): Promise<{ readonly policy: Policy; readonly model: HostModel }> {
  const raw = await loadPolicy(file);
  const { capacity, serviceTime, copyCost, copy, drain } = raw.model;
  const model = {
    ...{ capacity, copyCost, serviceMilliseconds: serviceTime * 1000, copySeconds: copy, drainSeconds: drain },
    ...{ secondsToCapacity: raw.timeToCapacity, hostsMax: raw.hosts.max },
  };
  return { policy: policyOf(raw), model };
}

function policyOf({ signals, hosts, timeToCapacity, scaleOut, scaleIn }: RawPolicy): Policy {
  return {
    signals: signals.map(signalPolicyOf),
    hostsMax: hosts.max,
    secondsToCapacity: timeToCapacity,
    scaleOut: { cooldownSeconds: scaleOut.cooldown, atOnce: scaleOut.atOnce },
    scaleIn: { windowSeconds: scaleIn.window ?? null, headroom: scaleIn.headroom, cooldownSeconds: scaleIn.cooldown },
    load: scaleIn.load ?? null,
  };
}

/** A CSV file, or the URL of a range query of Prometheus. @throws USAGE */
export async function recordingIn(signal: string): Promise<Recording> {
  if (/^https?:\/\//.test(signal)) return parsePrometheus(await answerOf(signal), signal);
  return parseRecording(await bytesOf(signal), signal);
}

/** @throws USAGE */
export async function bytesOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    throw new UnderstudyError('USAGE', `${file} cannot be read: ${errno}`, { cause });
  }
}

async function answerOf(url: string): Promise<string> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PROMETHEUS_TIMEOUT_MS) });
    const text = await answer.text();
    if (!answer.ok) throw new UnderstudyError('USAGE', `${url} answers ${answer.status}: ${text.slice(0, 200)}`);
    return text;
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    const why = cause instanceof Error ? ((cause.cause as Error | undefined)?.message ?? cause.message) : String(cause);
    throw new UnderstudyError('USAGE', `${url} cannot be asked: ${why}`, { cause });
  }
}
