// The protective MBR before a GPT: UEFI specification 2.10, 5.2.3. An entry of type 0xEE that reaches to the end of the disk
// has to do so on a larger disk too; one that covers less belongs to a hybrid MBR, and stays.
import { viewOf } from './header.ts';

const ENTRIES_AT = 446;
const ENTRY_BYTES = 16;
const ENTRIES = 4;
const PROTECTIVE = 0xee;
const SIZE_MAX = 0xffff_ffff;
/** The geometry that everybody assumes since disks have none. */
const HEADS = 255;
const SECTORS = 63;

/** The MBR as it has to be on a disk of `newSectors`, or null when nothing in it changes. */
export function stretchedMbr(mbr: Uint8Array, oldSectors: number, newSectors: number): Uint8Array | null {
  const out = mbr.slice();
  const view = viewOf(out);
  let changed = false;
  for (let at = ENTRIES_AT; at < ENTRIES_AT + ENTRIES * ENTRY_BYTES; at += ENTRY_BYTES) {
    const start = view.getUint32(at + 8, true);
    const size = view.getUint32(at + 12, true);
    if (out[at + 4] !== PROTECTIVE || size === SIZE_MAX || start + size !== oldSectors) continue;
    const stretched = Math.min(newSectors - start, SIZE_MAX);
    view.setUint32(at + 12, stretched, true);
    out.set(chsOf(start + stretched - 1), at + 5);
    changed = true;
  }
  return changed ? out : null;
}

/** Cylinder, head and sector of an LBA as three bytes; all ones where they have no room for it. */
function chsOf(lba: number): readonly number[] {
  const cylinder = Math.floor(lba / (HEADS * SECTORS));
  if (cylinder > 1023) return [0xff, 0xff, 0xff];
  const head = Math.floor(lba / SECTORS) % HEADS;
  const sector = (lba % SECTORS) + 1;
  return [head, sector | ((cylinder >> 8) << 6), cylinder & 0xff];
}
