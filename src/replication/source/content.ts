// What a source holds, whatever its bytes come through: one function for files, pipes and servers.
import type { ByteSource } from './byte-source.ts';
import type { ImageFormat } from './format.ts';
import type { IdentifiedSource } from './identify.ts';
import type { PreparedSource } from './prepare.ts';

/** A part of a source that can be read at any offset: a stored member of a container. */
export interface Window {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** What a transport offers besides its bytes. */
export interface ContentRequest {
  /** Its `format` is what the user named, or `auto`. */
  readonly source: IdentifiedSource;
  /** Closed when the result is closed, or when this fails. */
  readonly bytes: ByteSource;
  /**
   * The stored bytes as they are the image. `first` were taken from a source that can be read once, to find that out, and
   * come before all others; empty for the rest.
   */
  raw(first: Uint8Array): PreparedSource | Promise<PreparedSource>;
  /** A part of the stored bytes is the image; null where the transport cannot be read at any offset. */
  readonly window: ((window: Window) => PreparedSource | Promise<PreparedSource>) | null;
  /** The stored bytes, or a part of them, are an image that QEMU reads; null where the transport cannot be read that way. */
  readonly image: ((format: ImageFormat, window: Window | null) => Promise<PreparedSource>) | null;
}

export interface PrepareOptions {
  /** Gives up, with INTERRUPTED: nobody wants the source any more. */
  readonly signal?: AbortSignal;
  /** Called for what a user should know of a source that was read well: data that was ignored. Before its last byte is given. */
  readonly onWarning?: (warning: string) => void;
}
