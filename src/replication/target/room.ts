// Room on a file system, claimed before anything is written: the free space, less what other copies of this user have
// still to write there, must hold what this copy will write. A claim is a file in the runtime folder, locked as long as
// it holds, so that it dies with its process.
import {
  closeSync,
  ftruncateSync,
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { codeOf, errnoOf, shortName, UnderstudyError } from '../../base/mod.ts';
import { isLockedByOther } from '../../linux/mod.ts';
import { openExisting, runtimeFolder } from '../ring/mod.ts';
import { LOCK_BYTE, LOCK_SUFFIX, openLocked, ROOM_SUFFIX } from './lock.ts';

/** Claims are looked at and made under one lock, which is held for microseconds. */
const TURN_MS_MAX = 10_000;
const TURN_MS = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** statfs(2), f_type of btrfs, ZFS and bcachefs: what a file takes there depends on compression and copies. */
const UNTOLD_TYPES: readonly number[] = [0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e];

export interface RoomRequest {
  readonly uri: string;
  /** The provisional file, as others find it. */
  readonly partial: string;
  /** The same, in the folder that is held open. */
  readonly at: string;
  /** What it will occupy in the end, without its holes. */
  readonly bytes: number;
}

interface Claim {
  readonly dev: number;
  readonly partial: string;
  readonly bytes: number;
}

/** Gives the claim back when called. @throws TARGET_TOO_SMALL (more than the whole file system), TARGET_FULL */
export function claimRoom({ uri, partial, at, bytes }: RoomRequest): () => void {
  const system = statfsSync(at);
  if (system.blocks === 0 || UNTOLD_TYPES.includes(system.type)) return () => undefined;
  const total = system.blocks * system.bsize;
  if (bytes > total) {
    const message = `${uri}: the whole file system has ${total} bytes, ${bytes} are to be written`;
    throw new UnderstudyError('TARGET_TOO_SMALL', message);
  }
  const folder = runtimeFolder();
  const turn = takeTurn(`${folder}/rooms${LOCK_SUFFIX}`, uri);
  try {
    const claim: Claim = { dev: statSync(at).dev, partial, bytes };
    const path = `${folder}/${shortName(partial)}${ROOM_SUFFIX}`;
    // Asked after the others' claims were: what they write in between is then counted twice, not left out.
    const others = claimedByOthers(folder, path, claim.dev);
    const { bfree, bavail, bsize } = statfsSync(at);
    const free = (process.geteuid?.() === 0 ? bfree : bavail) * bsize;
    if (leftOf(claim) > free - others) {
      throw new UnderstudyError(
        'TARGET_FULL',
        `${uri}: ${leftOf(claim)} bytes are to be written; the file system has ${free}, of which ${others} are for ` +
          'files of other copies',
      );
    }
    return makeClaim(path, claim, uri);
  } finally {
    turn();
  }
}

function makeClaim(path: string, claim: Claim, uri: string): () => void {
  const fd = openLocked(path, uri);
  ftruncateSync(fd, 0);
  writeSync(fd, JSON.stringify(claim));
  return () => {
    unlinkSync(path);
    closeSync(fd);
  };
}

function takeTurn(path: string, uri: string): () => void {
  for (const deadline = performance.now() + TURN_MS_MAX; ; Atomics.wait(pause, 0, 0, TURN_MS)) {
    try {
      const fd = openLocked(path, uri);
      return () => {
        unlinkSync(path);
        closeSync(fd);
      };
    } catch (error) {
      if (codeOf(error) !== 'TARGET_BUSY' || performance.now() > deadline) throw error;
    }
  }
}

function claimedByOthers(folder: string, own: string, dev: number): number {
  let bytes = 0;
  for (const name of readdirSync(folder)) {
    const path = `${folder}/${name}`;
    if (!name.endsWith(ROOM_SUFFIX) || path === own) continue;
    const fd = openExisting(path);
    if (fd === null) continue;
    try {
      if (!isLockedByOther(fd, LOCK_BYTE)) continue;
      const claim = JSON.parse(readFileSync(fd, 'utf8')) as Claim;
      if (claim.dev === dev) bytes += leftOf(claim);
    } finally {
      closeSync(fd);
    }
  }
  return bytes;
}

/** What is still to be written of a claim; nothing once the file has its final name. */
function leftOf({ partial, bytes }: Claim): number {
  try {
    return Math.max(0, bytes - statSync(partial).blocks * 512);
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return 0;
  }
}
