// Where the bytes of a source come from, before anything in them is unpacked: a file, a block device, a pipe or an HTTP
// server. What reads containers and formats sees only this, so each of them works over each transport.

/**
 * Bytes as they are stored. All methods belong to the producer's main thread. Errors are UnderstudyErrors of a source
 * (SOURCE_*), and name the source as the user did.
 */
export interface ByteSource {
  /** As the user named it, without secrets: for messages. */
  readonly uri: string;
  /** Null while only the end tells. */
  readonly sizeBytes: number | null;
  /** `random`: `readAt` works. `rewind`: `open` works any number of times. `once`: `open` works one time. */
  readonly access: 'random' | 'rewind' | 'once';
  /** An open descriptor that a helper program can inherit instead of being fed; null where there is none. */
  readonly fd: number | null;
  /**
   * The bytes from the start, in order and complete: an end that comes too early is an error, not an end. A source that can
   * heal itself (a server that drops a connection) does so without the reader's notice. Leaving the loop early frees all.
   */
  open(): AsyncIterable<Uint8Array>;
  /** Whether a reading waits for somebody else, for a time that the source bounds by itself. @default false */
  readonly waiting?: boolean;
  /** Up to `lengthBytes` bytes, fewer only at the end. Only with access `random`. */
  readAt(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
  /** Equal as long as the content is (a validator of the server, size and time of a file); '' where nothing can tell. */
  fingerprint(): string;
  /** Idempotent. */
  close(): Promise<void>;
}
