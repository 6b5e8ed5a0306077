// What the producer's main thread makes of a source, and its worker opens.
import type { Window } from './window.ts';

/** How a worker of this process opens the source: structured-cloneable, of no use in another process. */
export type SourceDescriptor =
  | {
      readonly kind: 'file';
      readonly uri: string;
      readonly path: string;
      /** The part of the file that is the image; null: all of it. */
      readonly window: Window | null;
      readonly contents: string;
    }
  | { readonly kind: 'nbd'; readonly uri: string; readonly served: ServedImage | null; readonly contents: string }
  | {
      readonly kind: 'stream';
      readonly uri: string;
      readonly storage: string;
      readonly sizeBytes: number | null;
      /**
       * Where the bytes come from: standard input itself, behind what was read of it, or what the main thread keeps
       * running.
       */
      readonly from:
        | { readonly fd: number; readonly first: Uint8Array }
        | { readonly control: SharedArrayBuffer; readonly rewindable: boolean };
      readonly fingerprintFd: number | null;
      /** `contentsText` of what the image shows; '' where nobody has looked. */
      readonly contents: string;
      /** Raw is what the user said: no format is looked for, at the end either. */
      readonly asItIs: boolean;
    };

/** What the private server stands for. */
export interface ServedImage {
  readonly uri: string;
  readonly storage: string;
  /** Open descriptors of the files that the image consists of. */
  readonly fingerprintFds: readonly number[];
}

export interface PreparedSource {
  readonly descriptor: SourceDescriptor;
  /** Process ids of the helpers that run now; they die with this process. */
  readonly helperPids: readonly number[];
  /** Ends the helpers. Only when no worker has the source open any more. Idempotent. */
  close(): Promise<void>;
}
