// What the producer's main thread makes of a source, and its worker opens.
import type { HeldFile, ImageFiles } from './image-files.ts';
import type { BlockNode } from './qemu.ts';
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
      /** Where no file is open: what tells one content from another, or ''. */
      readonly fingerprint: string;
    }
  | {
      readonly kind: 'http';
      readonly uri: string;
      readonly storage: string;
      /** Of the whole file. */
      readonly sizeBytes: number;
      readonly fingerprint: string;
      /** Of a ReadExchange that the main thread serves. */
      readonly exchange: SharedArrayBuffer;
      /** The part of the file that is the image; null: all of it. */
      readonly window: Window | null;
      readonly contents: string;
    };

/** What the private server stands for. */
export interface ServedImage {
  readonly uri: string;
  readonly storage: string;
  /** Open descriptors of the files that the image consists of. */
  readonly fingerprintFds: readonly number[];
  /** Instead of files: what tells one content from another. */
  readonly fingerprint: string | null;
  /**
   * A length of 32 bits and so many bytes of "CODE text", once what the server reads from has failed; shared with it.
   */
  readonly failure: SharedArrayBuffer | null;
}

export interface PreparedSource {
  readonly descriptor: SourceDescriptor;
  /** Process ids of the helpers that run now; they die with this process. */
  readonly helperPids: readonly number[];
  /** An NBD URI of the bytes for other processes, valid until `close`; only of kind http. */
  localUri?(): Promise<string>;
  /** Ends the helpers. Only when no worker has the source open any more. Idempotent. */
  close(): Promise<void>;
}

/** How the bytes of an image that QEMU reads are reached. */
export interface ImageAccess {
  readonly storage: BlockNode;
  /** The file itself; null when it is none. */
  readonly path: string | null;
  /** The open file of this path. */
  readonly held?: HeldFile;
  /** Keeps what is open for QEMU, and is closed with it. @default one that keeps nothing yet */
  readonly files?: ImageFiles;
  /** Its length, where there is no path to ask. */
  readonly storedBytes?: number;
  /** Where there are no files: what tells one content from another. */
  readonly fingerprint?: string;
  /** "CODE text" of why it could not be read, once the storage says so: see `ServedImage.failure`. */
  readonly failure?: SharedArrayBuffer;
}
