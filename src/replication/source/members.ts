// What containers have in common, for those who look for the image inside.
import type { Window } from './window.ts';

export interface Member {
  readonly name: string;
  /** Null while only the end of the content tells. */
  readonly sizeBytes: number | null;
  /** `other`: a folder, a link, a device. */
  readonly kind: 'file' | 'other';
  /** Why the content cannot be read, for people ("is encrypted"); null where it can. */
  readonly obstacle: string | null;
  /** Where the stored bytes have the content as it is, and nothing beside it could tell of damage; else null. */
  readonly window: Window | null;
  /**
   * The content, checked against whatever check the container has. Of a stream: one time, and before the next member is
   * asked for. @throws SOURCE_CORRUPT
   */
  open(): AsyncIterable<Uint8Array>;
}

export type Members = AsyncGenerator<Member, void, undefined>;

/** Archives of this kind hold systems, not images. */
export const MEMBERS_MAX = 100_000;
