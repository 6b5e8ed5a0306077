// A target while it is written: locked against a second copy, under a provisional name where names exist, and given its
// final name only when it is complete and durable.
import { closeSync, unlinkSync } from 'node:fs';
import { shortName, UnderstudyError } from '../../base/mod.ts';
import type { Device } from '../device/contract.ts';
import { openFileDevice } from '../device/file.ts';
import { openNbdDevice } from '../device/nbd.ts';
import { runtimeFolder } from '../ring/mod.ts';
import { diskSequence } from './disk-sequence.ts';
import { openFileTarget } from './file-target.ts';
import { dataHeldBy } from './held-data.ts';
import { LOCK_SUFFIX, openLocked } from './lock.ts';
import { type RecordPlace, recordOfDevice } from './record-place.ts';
import { proveRecord, type Resumption } from './resume-proof.ts';
import { removeRecord } from './resume-record.ts';
import type { BlockSpec, NbdSpec, Target, TargetSpec } from './spec.ts';

/**
 * Opens a target for writing `imageBytes` (null while unknown); nothing of it is changed yet. With `resume`, what an
 * interrupted copy left is looked at, while the target is locked.
 * @throws TARGET_BUSY, TARGET_TOO_SMALL, TARGET_FULL, TARGET_NOT_CONFIRMED, TARGET_PARTIAL_FOREIGN and open errors
 */
export function openTarget(spec: TargetSpec, imageBytes: number | null, resume: boolean): Target {
  switch (spec.kind) {
    case 'file':
      return openFileTarget(spec, resume);
    case 'block':
      return openStorageTarget(spec, imageBytes, resume, () => openDisk(spec));
    case 'nbd':
      return openStorageTarget(spec, imageBytes, resume, () => openNbdDevice({ uri: spec.path, role: 'target' }));
  }
}

function openDisk({ path, uri, direct, identity, disk }: BlockSpec): Device {
  const device = openFileDevice({ path, uri, role: 'target', direct, exclusive: true });
  const sequence = diskSequence(identity.slice('block:'.length));
  if (device.info.identity === identity && sequence === disk.sequence) return device;
  device.close();
  throw new UnderstudyError(
    'TARGET_NOT_CONFIRMED',
    `${uri} is a different disk than when it was checked; nothing was written`,
  );
}

/**
 * Whether what an interrupted copy left on a disk is there, for a question that then need not be asked. Changes
 * nothing.
 */
export function isResumable(path: string, uri: string, disk: BlockSpec['disk']): boolean {
  const device = openFileDevice({ path, uri, role: 'source', direct: true });
  try {
    return resumptionOf(device, recordOfDevice(disk.recordKey), disk.stamp, true).record !== null;
  } finally {
    device.close();
  }
}

function resumptionOf(device: Device, place: RecordPlace, stamp: string, firstBlockLast: boolean): Resumption {
  return proveRecord({ device, place, isNamedBy: (record) => record.target === stamp, firstBlockLast });
}

/** Targets that are storage already: nothing to rename, but a size of their own. */
function openStorageTarget(
  spec: BlockSpec | NbdSpec,
  imageBytes: number | null,
  resume: boolean,
  open: () => Device,
): Target {
  const lockPath = `${runtimeFolder()}/${shortName(spec.identity)}${LOCK_SUFFIX}`;
  const fd = openLocked(lockPath, spec.uri);
  let device: Device | null = null;
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    device?.close();
    // Unlinked before the lock is dropped: whoever locks the old inode in between sees that the name has gone.
    unlinkSync(lockPath);
    closeSync(fd);
  };
  try {
    device = open();
    const { sizeBytes } = device.info;
    if (imageBytes !== null && sizeBytes !== null && sizeBytes < imageBytes) {
      const message = `${spec.uri} has only ${sizeBytes} bytes, but ${imageBytes} are to be copied`;
      throw new UnderstudyError('TARGET_TOO_SMALL', message);
    }
    const stamp = spec.kind === 'block' ? spec.disk.stamp : `${spec.identity};size=${sizeBytes}`;
    const record = recordOfDevice(spec.kind === 'block' ? spec.disk.recordKey : stamp);
    const resumption = resume ? resumptionOf(device, record, stamp, spec.kind === 'block') : null;
    const isOurs = resumption !== null && resumption.record !== null;
    if (spec.kind === 'nbd' && !spec.mayOverwrite && !isOurs) refuseUnasked(spec, device);
    if (spec.kind === 'block' && !spec.mayOverwrite && !isOurs) {
      throw new UnderstudyError(
        'TARGET_NOT_CONFIRMED',
        `${spec.uri} changed after it was checked (${resumption?.reason ?? 'overwriting was not confirmed'}); nothing was written`,
      );
    }
    const discard = (): void => removeRecord(record);
    const none = (): void => undefined;
    return {
      device,
      readsZero: false,
      record,
      stamp,
      resumption,
      notes: [],
      begin: none,
      finish: none,
      discard,
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * What was not asked about must not be lost. A server may end with its first connection (qemu-nbd does), so that nobody
 * can look before this one. @throws TARGET_NOT_CONFIRMED
 */
function refuseUnasked({ uri, doubt }: NbdSpec, device: Device): void {
  const held = dataHeldBy(device);
  const why = [...(doubt === null ? [] : [doubt]), ...(held === null ? [] : [`${uri} holds ${held}`])];
  if (why.length === 0) return;
  throw new UnderstudyError('TARGET_NOT_CONFIRMED', `${why.join('; ')}; nothing was written; use --yes to copy anyway`);
}
