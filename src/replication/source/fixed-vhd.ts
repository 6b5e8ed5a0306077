// VHD files of the fixed kind (Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format"): the image as
// it is, and
// a footer behind it.
import { UnderstudyError } from '../../base/mod.ts';
import { damaged, unreadable } from './damage.ts';
import { isVhdFooter } from './format.ts';
import { viewOf } from './magic.ts';
import type { Window } from './window.ts';

const FOOTER_BYTES = 512;
const CHECKSUM_AT = 64;
const FIXED = 2;
const DIFFERENCING = 4;

/**
 * The image in a VHD of the fixed kind, null for the dynamic kind. @throws SOURCE_CORRUPT, SOURCE_EMPTY, FORMAT_UNKNOWN (a
 * difference to another)
 */
export function fixedVhd(footer: Uint8Array, fileBytes: number, uri: string): Window | null {
  // An old Virtual PC left out the last byte of the footer; QEMU knows such files by the copy at their start.
  if (footer.byteLength !== FOOTER_BYTES || !isVhdFooter(footer)) return null;
  if (!checksumFits(footer)) throw damaged(uri, 'the check sum of its VHD footer does not fit');
  const view = viewOf(footer);
  const type = view.getUint32(60);
  if (type === DIFFERENCING) throw unreadable(uri, 'is a differencing VHD, which needs its parent; merge them first');
  if (type !== FIXED) return null;
  const lengthBytes = Number(view.getBigUint64(48));
  if (lengthBytes + FOOTER_BYTES !== fileBytes) {
    throw damaged(
      uri,
      `its VHD footer promises ${lengthBytes} bytes, and in front of it are ${fileBytes - FOOTER_BYTES}`,
    );
  }
  if (lengthBytes === 0) throw new UnderstudyError('SOURCE_EMPTY', `${uri} is a VHD of no bytes`);
  return { offsetBytes: 0, lengthBytes };
}

/** The one's complement of the sum of all bytes but the four of itself. */
function checksumFits(footer: Uint8Array): boolean {
  let sum = 0;
  for (let at = 0; at < FOOTER_BYTES; at += 1) {
    if (at < CHECKSUM_AT || at >= CHECKSUM_AT + 4) sum += footer[at] ?? 0;
  }
  return ~sum >>> 0 === viewOf(footer).getUint32(CHECKSUM_AT);
}
