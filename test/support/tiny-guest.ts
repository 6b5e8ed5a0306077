// The smallest guest with a disk of its own: a boot sector that counts in sector 1, one write after the other,
// about 30 a second, and says a dot on the serial line for each. It boots within a tenth of a second.
import { Buffer } from 'node:buffer';
import { limits } from '../../src/base/mod.ts';

/**
 * 16-bit code at 0x7c00:
 *   zero all segments; the stack is below the code
 *   again: add 1 to the counter at 0x8000; write that sector to sector 1 (int 0x13, extended write); failed: stop
 *          serial line: a dot; if `mode`: off
 *          wait 32 ms (int 0x15); again
 *   off:   tell the chip set that the computer is off (ACPI, PM1a control of QEMU's "pc": port 0x604)
 *   stop:  stand still
 *   mode, and the packet of the extended write
 */
const PROGRAM = [
  '31c08ed88ec08ed0bc007c66ff060080be3f7cb280b80043cd13721fb02ebaf8',
  '03ee803e3e7c00750b31c9ba0080b486cd15ebd7ba0406b80020eff4ebfd0010',
  '000100008000000100000000000000',
].join('');
const MODE_AT = 0x3e;
const SECTOR_BYTES = 512;
const SIGNATURE_AT = 510;
const SIGNATURE = 0xaa55;
export const TINY_DISK_BYTES = limits.MIB;

/** @param mode 'count' for ever, or write once and switch itself 'off' */
export function tinyDisk(mode: 'count' | 'off'): Uint8Array {
  const disk = Buffer.alloc(TINY_DISK_BYTES);
  disk.write(PROGRAM, 'hex');
  disk.writeUInt8(mode === 'off' ? 1 : 0, MODE_AT);
  disk.writeUInt16LE(SIGNATURE, SIGNATURE_AT);
  return disk;
}

/** How many writes the disk has seen. */
export function countOn(disk: Uint8Array): number {
  return Buffer.from(disk).readUInt32LE(SECTOR_BYTES);
}
