// One change to what a tree shows, whatever is behind it.
import type { ExtendedAttribute } from './contract.ts';

export interface FileEdit {
  /** Canonical. */
  readonly path: string;
  /** Something has this name now and goes first. */
  readonly replaces: boolean;
  readonly state:
    | { readonly kind: 'gone' }
    /** An empty one. */
    | { readonly kind: 'folder-gone' }
    | { readonly kind: 'link'; readonly target: string }
    /** What has another name in the same folder, with all that is in it. */
    | { readonly kind: 'renamed'; readonly from: string }
    | ({
        readonly kind: 'file' /** Or the path of a file of ours that has them. */;
        readonly bytes: Buffer | string;
      } & Owned)
    /** `make`: it is not there yet. */
    | ({ readonly kind: 'folder'; readonly make: boolean } & Owned);
}

export interface Owned {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly attributes: readonly ExtendedAttribute[];
  /** Seconds since 1970. Absent: now. */
  readonly modified?: number;
}
