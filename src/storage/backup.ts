// Backups of a spare's own volume: made before it is overwritten, put back when its engagement is over.
import { codeOf, messageOf, UnderstudyError } from '../base/mod.ts';
import type { Backend, CopyJob } from './backend.ts';
import { asOperatingError, beginStep, type NodeContext, stateError, stopIfAborted, withVolume } from './context.ts';
import type { Backup } from './contract.ts';
import type { VolumeRecord } from './records.ts';
import type { BackupHeader } from './stamps/mod.ts';

function backupOf({ backups }: VolumeRecord, engagement: string): Backup | null {
  return backups.find((backup) => backup.engagement === engagement) ?? null;
}

/** @throws VOLUME_STATE when the volume does not hold its own content, STORAGE_SPACE */
export function makeBackup(context: NodeContext, volume: string, engagement: string, job: CopyJob): Promise<Backup> {
  const { records, backend } = context;
  return withVolume(context, volume, `backup for ${engagement}`, async (record) => {
    // One whose deletion failed half-way is not there any more.
    if (record.step !== null) await clearStep(context, volume);
    const there = backupOf(await records.volume(volume), engagement);
    if (there !== null) return there;
    if (record.content.kind !== 'own') throw stateError(volume, record.content, 'that is not worth a backup');
    // One that is there already is nobody's to delete; only what is made from here on is.
    const exists = (await backend.backups()).some((one) => one.volume === volume && one.engagement === engagement);
    if (!exists) await records.change(volume, () => ({ step: { kind: 'backup', engagement } }));
    const takenAt = new Date().toISOString();
    try {
      const file = await backend.backup(volume, engagement, job);
      const backup: Backup = { engagement, takenAt, ...file };
      await backend.keepHeader(await records.headerOf(volume, backup));
      await records.change(volume, ({ backups }) => ({ backups: [...backups, backup], step: null }));
      return backup;
    } catch (error) {
      if (!exists) await dropFailed(context, volume, engagement, error);
      throw error;
    }
  });
}

/** Removes what a failed backup left; when even that fails, the next start does it, because the step stays recorded. */
async function dropFailed(context: NodeContext, volume: string, engagement: string, error: unknown): Promise<void> {
  try {
    await clearStep(context, volume);
  } catch (second) {
    const message = `${messageOf(error)}; what is there of it could not be deleted: ${messageOf(second)}`;
    const code = codeOf(asOperatingError('backup', error));
    // A defect is told as it is.
    if (code === null) throw error;
    throw new UnderstudyError(code, `backup for ${engagement}: ${message}`, { cause: error });
  }
}

/**
 * Ends a making or deleting of a backup that was under way, by deleting what is there of it. One that was completed is
 * kept.
 */
export async function clearStep({ records, backend }: NodeContext, volume: string): Promise<void> {
  const { step, content } = await records.volume(volume);
  if (step === null) return;
  const header = step.kind === 'backup' ? await headerOf(backend, volume, step.engagement) : null;
  if (header !== null) {
    await records.change(volume, ({ backups }) => ({
      step: null,
      backups: [...backups.filter(({ engagement }) => engagement !== step.engagement), header.backup],
    }));
    return;
  }
  // Only what a volume does not hold itself has to be kept.
  if (content.kind !== 'own') throw stateError(volume, content, 'its backup may be all that is left');
  await backend.discard(volume, step.engagement);
  await records.change(volume, ({ backups }) => ({
    step: null,
    backups: backups.filter(({ engagement }) => engagement !== step.engagement),
  }));
}

async function headerOf(backend: Backend, volume: string, engagement: string): Promise<BackupHeader | null> {
  const all = await backend.backups();
  return all.find((one) => one.volume === volume && one.engagement === engagement)?.header ?? null;
}

/** @throws VOLUME_STATE, DIGEST_MISMATCH when what was read back is not what was backed up */
export function restoreBackup(context: NodeContext, volume: string, engagement: string, job: CopyJob): Promise<void> {
  const { records, backend } = context;
  return withVolume(context, volume, `restore for ${engagement}`, async (record) => {
    const { content } = record;
    if (content.kind === 'own') return;
    if (content.engagement !== engagement) throw stateError(volume, content, `no restore for ${engagement}`);
    const backup = backupOf(record, engagement);
    if (backup === null) throw stateError(volume, content, `there is no backup for ${engagement}`);
    const sizeBytes = await backend.sizeOf(volume);
    if (sizeBytes !== backup.bytes) {
      const message = `${volume} has ${sizeBytes} bytes, its backup for ${engagement} ${backup.bytes}`;
      throw new UnderstudyError('VOLUME_STATE', message);
    }
    stopIfAborted(job.signal);
    await beginStep(context, volume, engagement, 'restore');
    const digest = await backend.restore(volume, engagement, job);
    if (digest !== backup.digest) {
      const message = `${volume}: what was restored for ${engagement} has the digest ${digest}, not ${backup.digest}`;
      throw new UnderstudyError('DIGEST_MISMATCH', message);
    }
    await records.change(volume, () => ({ content: { kind: 'own' } }));
  });
}

/** @throws VOLUME_STATE while the volume does not hold its own content, VOLUME_BUSY */
export async function discardBackup(context: NodeContext, volume: string, engagement: string): Promise<void> {
  const { records, claims } = context;
  // For itself alone: what is being deleted is one mark in the record.
  const release = claims.sole(volume, `discarding the backup for ${engagement}`);
  try {
    const record = await records.volume(volume);
    if (backupOf(record, engagement) === null) return;
    if (record.content.kind !== 'own') throw stateError(volume, record.content, 'its backup is all that is left');
    await records.change(volume, () => ({ step: { kind: 'discard', engagement } }));
    await clearStep(context, volume);
  } finally {
    release();
  }
}
