// What is left of a source when all layers are off, and what can be done with it.
import { unreadable } from './damage.ts';
import type { Flow } from './flow.ts';
import type { ImageFormat } from './format.ts';
import type { Unread } from './unread.ts';

export type Unwrapped =
  | { readonly kind: 'raw'; readonly flow: Flow }
  /** Needs reading at any offset, which no layer but the lowest can give. */
  | { readonly kind: 'image'; readonly format: ImageFormat; readonly flow: Flow }
  | { readonly kind: 'unread'; readonly unread: Unread; readonly flow: Flow }
  /** Inside of another container. */
  | { readonly kind: 'container'; readonly format: 'tar' | 'zip'; readonly flow: Flow };

/** The flow of a raw image. @throws FORMAT_UNKNOWN for everything else, by name */
export function requireRaw(unwrapped: Unwrapped, uri: string): Flow {
  switch (unwrapped.kind) {
    case 'raw':
      return unwrapped.flow;
    case 'image':
      throw needsOffsets(uri, unwrapped.format);
    case 'unread':
      throw refusal(uri, unwrapped.unread);
    case 'container':
      throw unreadable(uri, `holds a ${unwrapped.format} archive within another; unpack it first`);
  }
}

export function needsOffsets(uri: string, format: ImageFormat): Error {
  const why = `${format} needs reading at any offset, and here it comes as a stream`;
  return unreadable(uri, `holds an image in ${format}: ${why}; save and unpack it into a file first`);
}

export function refusal(uri: string, unread: Unread): Error {
  return unreadable(uri, `is ${unread.name}, not a disk image: ${unread.advice}`);
}
