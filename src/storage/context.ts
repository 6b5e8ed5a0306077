// What the operations of a node have in common: who may do what to which volume, and how errors of the system are
// called.
import { codeOf, errnoOf, messageOf, UnderstudyError } from '../base/mod.ts';
import type { IdentityEngine } from '../identity/mod.ts';
import type { Backend } from './backend.ts';
import type { Claims } from './claims.ts';
import type { VolumeContent } from './contract.ts';
import type { Records, VolumeRecord } from './records.ts';
import type { SharedSnapshots } from './shared-snapshots.ts';

export interface NodeContext {
  readonly backend: Backend;
  readonly records: Records;
  readonly claims: Claims;
  readonly snapshots: SharedSnapshots;
  readonly identity: IdentityEngine;
}

/**
 * Lets `work` have a volume for itself alone: no host has it, and no other operation of this node.
 * @throws VOLUME_BUSY, VOLUME_ATTACHED
 */
export async function withVolume<T>(
  { claims, records }: NodeContext,
  volume: string,
  what: string,
  work: (record: VolumeRecord) => Promise<T>,
): Promise<T> {
  const release = claims.sole(volume, what);
  try {
    const record = await records.volume(volume);
    if (record.attachedTo !== null) {
      throw new UnderstudyError('VOLUME_ATTACHED', `${volume} is attached to ${record.attachedTo}: no ${what}`);
    }
    return await work(record);
  } finally {
    release();
  }
}

/**
 * From here on nobody may boot what the volume holds, until the step has ended. Durable before the first byte is
 * written.
 */
export async function beginStep(
  { records, backend }: NodeContext,
  volume: string,
  engagement: string,
  step: 'replicate' | 'restore',
): Promise<void> {
  await records.change(volume, ({ generation }) => ({
    generation: generation + 1,
    content: { kind: 'unfinished', engagement, step },
  }));
  await backend.keepSecret(volume, null);
}

export function stateError(volume: string, content: VolumeContent, what: string): UnderstudyError {
  return new UnderstudyError('VOLUME_STATE', `${volume} holds ${describe(content)}: ${what}`);
}

function describe(content: VolumeContent): string {
  switch (content.kind) {
    case 'own':
      return 'what its own host put there';
    case 'unfinished':
      return `what the step "${content.step}" of ${content.engagement} left`;
    case 'replica':
      return `a replica of ${content.of} (${content.engagement})`;
  }
}

export function stopIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new UnderstudyError('INTERRUPTED', 'the storage node was told to stop');
}

/** An error of the system, as an error of ours; programmer errors as they are. */
export function asOperatingError(what: string, error: unknown): unknown {
  if (codeOf(error) !== null) return error;
  const errno = errnoOf(error);
  if (errno === null) return error;
  const code = errno === 'ENOSPC' ? 'STORAGE_SPACE' : 'STORAGE_FAILED';
  return new UnderstudyError(code, `${what}: ${messageOf(error)}`, { cause: error });
}

/**
 * The error without the address at which a volume is served for the moment: whoever asked knows the volume, not this
 * machine.
 */
export function namingVolume(error: unknown, address: string, volume: string): unknown {
  const code = codeOf(error);
  const message = messageOf(error);
  if (code === null || !message.includes(address)) return error;
  return new UnderstudyError(code, message.replaceAll(address, volume), { cause: error });
}
