// What a test and the process that runs a storage node say to each other.
import type { ErrorCode } from '../../src/base/mod.ts';
import type { HostIdentity } from '../../src/identity/mod.ts';
import type {
  CopyProgress,
  Listen,
  PersonaliseRequest,
  ReplicateRequest,
  StorageNodeOptions,
} from '../../src/storage/mod.ts';

type PortRange = Extract<Listen, { kind: 'range' }>;

/** A folder of certificates, and the name of the node in it. */
export interface CertificateFolder {
  readonly folder: string;
  readonly name: string;
}

/** How the process is to make its node; everything else it brings itself. */
export interface StorageSetting
  extends Pick<
    StorageNodeOptions,
    'name' | 'folder' | 'stateFolder' | 'volumes' | 'backgroundRate' | 'overlayBytesMax'
  > {
  readonly listen:
    | Exclude<Listen, { kind: 'range' }>
    | (Omit<PortRange, 'tls'> & { readonly tls: CertificateFolder | null });
  /** SQLite file. */
  readonly store: string;
  /**
   * The process kills itself at a write to the store: the how manieth from now on, and whether it still gets through.
   */
  readonly dieAt: { readonly write: number; readonly when: 'before' | 'after' } | null;
}

/** A method of the node, with what it is given. */
export type StorageRequest =
  | { readonly method: 'status' | 'renewCertificates' | 'close' | 'shutdown' }
  | { readonly method: 'attach'; readonly volume: string; readonly host: string }
  | { readonly method: 'detach'; readonly volume: string }
  | { readonly method: 'backup' | 'restore' | 'discard'; readonly volume: string; readonly engagement: string }
  | { readonly method: 'replicate'; readonly request: ReplicateRequest }
  | { readonly method: 'inspect'; readonly volume: string; readonly lead: HostIdentity }
  | { readonly method: 'personalise'; readonly request: PersonaliseRequest };

export type ToHost =
  | { readonly id: number; readonly epoch: number; readonly ask: StorageRequest }
  | { readonly abort: number };

export interface WireError {
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly details: Readonly<Record<string, string | number>>;
}

export type FromHost =
  | { readonly ready: true }
  | { readonly failed: WireError }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: WireError }
  | { readonly id: number; readonly progress: CopyProgress };
