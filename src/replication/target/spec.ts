// What the engine is told of a target, and what it makes of it.
import type { Device } from '../device/contract.ts';
import type { RecordPlace } from './record-place.ts';
import type { Resumption } from './resume-proof.ts';
import type { FolderFacts } from './target-folder.ts';

interface SpecOfAll {
  /** As the user named it. */
  readonly uri: string;
  /** File: absolute path of the final name, links resolved. Block: path of the device. NBD: the URI. */
  readonly path: string;
  /** "file:...", "block:..." or canonical URI; finds locks. */
  readonly identity: string;
  readonly direct: boolean;
  /**
   * What it holds is nothing, or the user agreed to its loss. False: only what an interrupted copy left may be
   * overwritten; and of an NBD target, into which nobody has looked yet, what shows no partition table and no file
   * system.
   */
  readonly mayOverwrite: boolean;
}

export interface BlockSpec extends SpecOfAll {
  readonly kind: 'block';
  /** The disk that was looked at (target-safety, DiskStamp). */
  readonly disk: { readonly stamp: string; readonly recordKey: string; readonly sequence: string | null };
}

/** A file that is to be replaced, as it was when it was looked at. */
export interface ReplacedFile {
  readonly dev: number;
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
  /** Permissions, st_mode & 0o777. */
  readonly mode: number;
}

export interface FileSpec extends SpecOfAll {
  readonly kind: 'file';
  readonly folder: FolderFacts;
  /** The file whose place, owner and permissions it takes; null: nothing has the name. */
  readonly replaces: ReplacedFile | null;
  /** Permissions of a file that replaces none. */
  readonly mode: number;
  /** The group for which the group's bits of `mode` were meant; null: any. */
  readonly group: number | null;
  /** Somebody said that the owner of the replaced file need not be kept. */
  readonly mayLoseOwner: boolean;
}

export interface NbdSpec extends SpecOfAll {
  readonly kind: 'nbd';
  /**
   * Why the source may be the wrong one, which only what is gone on with may pass over; null: nothing speaks against
   * it.
   */
  readonly doubt: string | null;
}

/** Structured-cloneable. */
export type TargetSpec = FileSpec | BlockSpec | NbdSpec;

export interface Target {
  readonly device: Device;
  /** True while every byte that was never written reads as zero. */
  readonly readsZero: boolean;
  readonly record: RecordPlace;
  /** What a resume record of it names. */
  readonly stamp: string;
  /** What an interrupted copy left here; null unless that was asked for. */
  readonly resumption: Resumption | null;
  /** What the user should know of it; grows until it is finished. */
  readonly notes: readonly string[];
  /**
   * Gives it its size, where it has none of its own, and claims room for what will be written; null while that is not
   * known. Before the first write. @throws TARGET_TOO_SMALL, TARGET_FULL
   */
  begin(imageBytes: number | null, dataBytes: number | null): void;
  /** Makes the complete image durable under its final name. @throws TARGET_FLUSH_FAILED, TARGET_WRITE_FAILED */
  finish(imageBytes: number): void;
  /** Removes what the copy has left, record included; nothing of it is worth going on with. */
  discard(): void;
  /** Releases device and lock; a provisional file stays. Idempotent. */
  close(): void;
}
