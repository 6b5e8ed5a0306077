// The storage node: volumes, who may use them, and copies of them made without any host's help. Seed rows P2, P3, P15,
// P17, P24, D16. The node keeps its wanted graph in the store and makes it so again after any crash.
import type { Call } from '../base/mod.ts';
import type { HostIdentity, Inspection, Plan } from '../identity/mod.ts';

/**
 * What a volume holds. Only 'own', and a 'replica' whose identity is verified for the host that asks, can be attached.
 */
export type VolumeContent =
  /** What its own host put there. */
  | { readonly kind: 'own' }
  /** Being overwritten by an engagement (replica, restore) or left so by a crash or failure: nobody may boot it. */
  | { readonly kind: 'unfinished'; readonly engagement: string; readonly step: 'replicate' | 'personalise' | 'restore' }
  | {
      readonly kind: 'replica';
      readonly engagement: string;
      readonly of: string;
      /** ISO 8601: the one moment of the lead's volume that it shows. */
      readonly takenAt: string;
      /** Only a portion of the lead's files is, in the volume's own system. Absent: all of it. */
      readonly portion?: true;
      /** Host whose identity it has been given and verified to have; null before "personalise". */
      readonly identityOf: string | null;
    };

export interface Backup {
  readonly engagement: string;
  readonly takenAt: string;
  readonly bytes: number;
  /** XXH3-128 of the whole volume, hexadecimal: what a restore is compared with. */
  readonly digest: string;
}

export interface VolumeStatus {
  readonly name: string;
  readonly sizeBytes: number;
  /** The raw file or block device. Nobody but the node may open it. */
  readonly path: string;
  /** Raised by every operation of the node that changes the content. */
  readonly generation: number;
  /**
   * 'unknown': the record of the volume cannot be used. Nothing is done with it until that is seen to; `problem` says
   * why.
   */
  readonly content: VolumeContent | { readonly kind: 'unknown' };
  /** The one host that may write it, and where it finds it (NBD URI). */
  readonly attachment: { readonly host: string; readonly uri: string } | null;
  /** Why it cannot be served or looked at now, for people; null when all is well. */
  readonly problem: string | null;
  readonly backups: readonly Backup[];
}

export interface StorageStatus {
  readonly name: string;
  readonly daemon: { readonly running: boolean; readonly restarts: number };
  /** Hosts are served in plain text beyond this machine: whoever is in between reads and writes their disks. */
  readonly insecure: boolean;
  readonly volumes: readonly VolumeStatus[];
  /** Bytes free where backups and overlays go. */
  readonly freeBytes: number;
  /** Why the store is not the one that belongs to the volumes, until it is recovered; null: it is. */
  readonly unsettled: string | null;
}

/**
 * Numbers that are never given twice in an installation, kept beside the volumes: they outlive every store. Durable
 * when a call resolves.
 */
export interface InstallationFloor {
  read(): Promise<{ readonly epoch: number; readonly sequence: number; readonly unsettled: string | null }>;
  /** Each number to at least this. */
  raise(to: { readonly epoch?: number; readonly sequence?: number }): Promise<void>;
  /** The store is not believed until it is recovered. */
  unsettle(why: string): Promise<void>;
}

export interface CopyProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface ReplicateRequest {
  readonly engagement: string;
  readonly from: string;
  readonly to: string;
  /**
   * Only these paths of the lead are copied, into the system that `to` holds; `accept`: unknown findings
   * that are accepted, as "RULE:PATH". Null: everything. @default null
   */
  readonly portion?: { readonly paths: readonly string[]; readonly accept: readonly string[] } | null;
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface PersonaliseRequest {
  readonly engagement: string;
  readonly volume: string;
  readonly lead: HostIdentity;
  readonly understudy: HostIdentity;
  /** Name of the understudy's host, which alone may attach the volume afterwards. */
  readonly host: string;
  /** Unknown findings that are accepted, as "RULE:PATH". */
  readonly accept: readonly string[];
}

/**
 * Every method is idempotent: called again after a crash, or by a second controller with a higher epoch, it goes on or
 * finds that all is done. Changing methods ask the EpochGate (thing "volume/NAME"). One that writes a volume is refused
 * while the volume is attached (VOLUME_ATTACHED), whoever asks, and while another operation writes it (VOLUME_BUSY).
 * @throws VOLUME_UNKNOWN, VOLUME_ATTACHED, VOLUME_BUSY, VOLUME_STATE (content does not allow it), STORAGE_SPACE,
 *   STORAGE_FAILED, EPOCH_STALE, INTERRUPTED, and the copy engine's errors
 */
export interface StorageNode {
  status(): Promise<StorageStatus>;
  /** Exports the volume for writing to this host. @returns where the host finds it */
  attach(volume: string, host: string, call: Call): Promise<{ readonly uri: string }>;
  /**
   * Ends the export, cutting a connection that is open. To be called only after the host was observed off (or never was
   * on).
   */
  detach(volume: string, call: Call): Promise<void>;
  /**
   * A complete, flushed copy of the volume exists under the engagement's name. Space is checked first: STORAGE_SPACE.
   */
  backup(volume: string, engagement: string, call: Call, onProgress?: (p: CopyProgress) => void): Promise<Backup>;
  /**
   * `to` holds what `from` held at one moment, `from` being in use or not. Two at once for one lead share moment and
   * reading.
   */
  replicate(request: ReplicateRequest, call: Call): Promise<{ readonly takenAt: string }>;
  /** What the volume says about who its host is, at one moment, whether it is in use or not. Changes nothing. */
  inspect(volume: string, lead: HostIdentity, call: Call): Promise<Inspection>;
  /**
   * Gives the replica its identity and verifies it: IDENTITY_UNKNOWN, IDENTITY_UNVERIFIED. A volume that was given a
   * portion has an identity, which stays, and is verified to be the understudy's.
   */
  personalise(request: PersonaliseRequest, call: Call): Promise<Plan>;
  /** Puts the backup back, compares its digest, and makes the content 'own'. The backup stays until `discard`. */
  restore(volume: string, engagement: string, call: Call, onProgress?: (p: CopyProgress) => void): Promise<void>;
  /** Deletes a backup. Refused (VOLUME_STATE) while the volume's content is not 'own'. */
  discard(volume: string, engagement: string, call: Call): Promise<void>;
}
