// What the first copy of a source tells the producer that it starts; travels as JSON in the environment.
import type { IdentifiedSource } from '../source/mod.ts';

export type DirectMode = 'auto' | 'on' | 'off';

export interface ProducerOptions {
  readonly source: IdentifiedSource;
  /** Ring file; open as descriptor RING_FD, whose open file holds the producer's lock byte. */
  readonly ringPath: string;
  /** Null: limits.BLOCK_BYTES_DEFAULT. */
  readonly blockBytes: number | null;
  /**
   * Null: limits.RING_BYTES_DEFAULT or RING_BYTES_CACHED, or less where shared memory is short; a number is kept to.
   */
  readonly bufferBytes: number | null;
  readonly direct: DirectMode;
  /** Time that a first reading waits for further copies, milliseconds; 0: none. */
  readonly gatherMs: number;
  /**
   * Somebody may have to be asked whether the source is what was meant: its front is looked at before the ring is
   * ready.
   */
  readonly look: boolean;
  /** A digest is expected, which may be that of the stored bytes. */
  readonly storedDigest: boolean;
}

/** The descriptor that the producer inherits. */
export const RING_FD = 3;
