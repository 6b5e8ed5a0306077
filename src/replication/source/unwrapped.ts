// What is left of a source when all layers are off, and what can be done with it.
import type { UnderstudyError } from '../../base/mod.ts';
import { unreadable } from './damage.ts';
import type { Flow } from './flow.ts';
import { type ImageFormat, isVhdFooter } from './format.ts';
import { type Unread, unreadFormat } from './unread.ts';

export type Unwrapped =
  | { readonly kind: 'raw'; readonly flow: Flow }
  /** Needs reading at any offset, which no layer but the lowest can give. */
  | { readonly kind: 'image'; readonly format: ImageFormat; readonly flow: Flow }
  | { readonly kind: 'unread'; readonly unread: Unread; readonly flow: Flow }
  /** Inside of another container. */
  | { readonly kind: 'container'; readonly format: 'tar' | 'zip'; readonly flow: Flow };

/** Stands for the start of what is a disk: its first sector ends like a boot sector. */
const RECOGNISED = Uint8Array.from({ length: 512 }, (_, at) => (at === 510 ? 0x55 : at === 511 ? 0xaa : 0));

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

export function needsOffsets(uri: string, format: ImageFormat): UnderstudyError {
  const why = `${format} needs reading at any offset, and here it comes as a stream`;
  return unreadable(uri, `holds an image in ${format}: ${why}; save and unpack it into a file first`);
}

export function refusal(uri: string, unread: Unread): UnderstudyError {
  return unreadable(uri, `is ${unread.name}, not a disk image: ${unread.advice}`);
}

/**
 * The last sector of a stream may tell that it is another format, which only seekable sources are known by before: too
 * late to read
 * it as what it is, not too late to say so. `recognised`: its start shows a partition table or a file system.
 */
export function endingFormat(uri: string, last: Uint8Array, recognised: boolean): UnderstudyError | null {
  if (isVhdFooter(last)) return needsOffsets(uri, 'vpc');
  const unread = unreadFormat(recognised ? RECOGNISED : new Uint8Array(0), last);
  return unread === null ? null : refusal(uri, unread);
}
