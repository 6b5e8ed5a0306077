// What moves the bytes for a storage node. The node (node.ts) decides and remembers; a backend does what it is told and
// knows nothing of content, engagements or epochs. Two of them: qemu-storage-daemon with the copy engine, and memory
// for simulation.
import type { CopyProgress } from './contract.ts';
import type { BackupHeader, FoundBackup, Texts } from './stamps/mod.ts';
import type { VolumeName } from './volume-list.ts';

export interface CopyJob {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: CopyProgress) => void;
}

/** One moment of a volume, whoever writes it meanwhile. */
export interface Snapshot {
  readonly takenAt: Date;
  /** Where the identity engine reads it: a path, or an NBD URI. */
  readonly image: string;
  /** False when it cannot be read any more. */
  readonly live: boolean;
  /** Removes it. Idempotent. */
  end(): Promise<void>;
}

export interface BackupFile {
  /** Size of the volume. */
  readonly bytes: number;
  /** XXH3-128 of the whole volume. */
  readonly digest: string;
}

/** A volume and the host that has it. */
export interface Attached {
  readonly volume: string;
  readonly host: string;
}

/** Volumes by what is recorded of who has them. */
export interface Recorded {
  /** Those that hosts have. */
  readonly attached: readonly Attached[];
  /** Those of which that is not known: what a host has of them it keeps, and nobody gets them. */
  readonly unknown: readonly string[];
}

/** A volume or backup is named as the configuration and the controller name it. All errors as in contract.ts. */

export interface Backend {
  /** Where volumes lie from now on. */
  setVolumes(volumes: readonly VolumeName[]): void;
  /** Makes sure that nobody else runs this node. @throws STORAGE_FAILED when another process does */
  open(): Promise<void>;
  /** Serves the volumes that are attached now, and removes whatever else an earlier life was serving or making. */
  start(recorded: () => Promise<Recorded>): Promise<void>;
  readonly daemon: { readonly running: boolean; readonly restarts: number };
  /** @throws STORAGE_FAILED when the volume cannot be reached */
  sizeOf(volume: string): Promise<number>;
  /** Bytes free where backups and overlays go. */
  freeBytes(): Promise<number>;
  /** Where its host finds a volume, always the same from the first `serve` on. */
  uriOf(volume: string, host: string): string;
  /** Why a volume that this host has is not being served; null when it is. */
  problemOf(volume: string, host: string): string | null;
  /** Volumes are served in plain text to whoever reaches this machine over a network. */
  readonly insecure: boolean;
  /** Raw file or block device. */
  pathOf(volume: string): string;
  /** What tells the storage of a volume from any other, whatever its path; null: it cannot be reached. */
  diskOf(volume: string): string | null;
  /** Where stamps are kept: beside the backups, and never in the state folder. */
  readonly stamps: Texts;
  /** The place from which this node was started is still its own. @throws STATE_LOST */
  checkState(): void;

  serve(volume: string, host: string): Promise<void>;
  /** Returns when no request of the host is under way any more. */
  unserve(volume: string, host: string): Promise<void>;
  /** Takes up certificates that have changed. @returns the hosts that connect again for it */
  renew(): Promise<readonly string[]>;

  snapshot(volume: string): Promise<Snapshot>;
  /** Overwrites a volume with a snapshot of this backend; zeros behind its end. Durable when it resolves. */
  replicate(from: Snapshot, to: string, job: CopyJob): Promise<void>;
  /**
   * Makes a complete and durable file of a volume that nobody writes. A complete one that is there is never
   * overwritten: it is taken where it holds what the volume holds.
   * @throws STORAGE_SPACE before anything is written, with the bytes needed and free; VOLUME_STATE when there is one
   *   with other bytes
   */
  backup(volume: string, engagement: string, job: CopyJob): Promise<BackupFile>;
  /** Complete backups of any volume, whoever made them. */
  backups(): Promise<readonly FoundBackup[]>;
  /** Puts the header beside a complete backup, durably. */
  keepHeader(header: BackupHeader): Promise<void>;
  /** XXH3-128 and size of a complete backup as it is read back. */
  examineBackup(volume: string, engagement: string, signal: AbortSignal): Promise<BackupFile>;
  /** Overwrites a volume with a backup. @returns the digest of what was then read back from the volume */
  restore(volume: string, engagement: string, job: CopyJob): Promise<string>;
  /** Deletes a backup and its header, whole, half made or not there at all. */
  discard(volume: string, engagement: string): Promise<void>;
  /** Makes durable what others wrote to a volume by its path. */
  flush(volume: string): Promise<void>;

  /** Keeps a text for a volume, durably and where nobody else can read it; null: forgets it. */
  keepSecret(volume: string, text: string | null): Promise<void>;
  secretOf(volume: string): Promise<string | null>;

  /** Ends our side. What hosts have goes on. */
  close(): Promise<void>;
  /** Ends what serves the hosts, too. */
  shutdown(): Promise<void>;
}
