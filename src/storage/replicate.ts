// A replica: one moment of the lead's volume on the spare's.
import { UnderstudyError } from '../base/mod.ts';
import type { CopyJob, Snapshot } from './backend.ts';
import { beginStep, type NodeContext, stateError, stopIfAborted, withVolume } from './context.ts';
import type { ReplicateRequest, VolumeContent } from './contract.ts';
import type { VolumeRecord } from './records.ts';

/** @throws VOLUME_STATE, TARGET_TOO_SMALL before anything is written, STORAGE_SPACE when the lead outwrote the overlay */
export function replicate(
  context: NodeContext,
  request: ReplicateRequest,
  job: CopyJob,
): Promise<{ readonly takenAt: string }> {
  const { engagement, from, to, portion = null } = request;
  const { records, claims, backend, snapshots } = context;
  if (from === to) throw new UnderstudyError('VOLUME_STATE', `${from} cannot be replicated to itself`);
  return withVolume(context, to, `replication of ${from} for ${engagement}`, async (record) => {
    const release = claims.read(from, `replication to ${to} for ${engagement}`);
    try {
      const source = await records.volume(from);
      if (source.content.kind === 'unfinished') throw stateError(from, source.content, 'there is nothing to replicate');
      const done = finished(record.content, request);
      if (done !== null) return { takenAt: done };
      refuse(record, to, engagement);
      const [bytes, room] = await Promise.all([backend.sizeOf(from), backend.sizeOf(to)]);
      if (bytes > room && portion === null) {
        throw new UnderstudyError('TARGET_TOO_SMALL', `${to} has ${room} bytes, ${from} has ${bytes}`);
      }
      return await snapshots.read(from, async (snapshot) => {
        stopIfAborted(job.signal);
        await beginStep(context, to, engagement, 'replicate');
        if (portion === null) await backend.replicate(snapshot, to, job);
        else await givePortion(context, snapshot, to, portion, job);
        const takenAt = snapshot.takenAt.toISOString();
        const part = portion === null ? {} : { portion: true as const };
        const content: VolumeContent = { kind: 'replica', engagement, of: from, takenAt, ...part, identityOf: null };
        await records.change(to, () => ({ content }));
        return { takenAt };
      });
    } finally {
      release();
    }
  });
}

/**
 * Done again after a crash it goes on: what is there already is not written again. What the volume held besides stays, and with it its own
 * identity.
 */
async function givePortion(
  { backend, identity }: NodeContext,
  { image }: Snapshot,
  to: string,
  { paths, accept }: NonNullable<ReplicateRequest['portion']>,
  { signal, onProgress }: CopyJob,
): Promise<void> {
  const request = { lead: null, understudy: null, portion: paths, accept, apply: true };
  const { bytes } = await identity.transplant(image, backend.pathOf(to), request, signal);
  await backend.flush(to);
  onProgress({ bytesDone: bytes, bytesTotal: bytes });
}

/** The moment of the replica that is asked for and already there. */
function finished(content: VolumeContent, { engagement, from }: ReplicateRequest): string | null {
  const there = content.kind === 'replica' && content.engagement === engagement && content.of === from;
  return there ? content.takenAt : null;
}

/** What must not be overwritten: a restore that has begun, and what an earlier engagement left before it is restored. */
function refuse({ content, backups }: VolumeRecord, volume: string, engagement: string): void {
  if (content.kind === 'own') return;
  if (content.engagement === engagement) {
    if (content.kind === 'unfinished' && content.step === 'restore') {
      throw stateError(volume, content, 'the restore has to be finished first');
    }
    return;
  }
  const owed = backups.some((backup) => backup.engagement === content.engagement);
  if (owed) throw stateError(volume, content, 'its own content has to be restored first');
}
