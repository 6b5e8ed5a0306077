// The extents of a VMDK that is a text with the names of other files ("VMware Virtual Disk Format 1.1", The Extent
// Description). QEMU opens them by these names, so they have to be known before it does.

const MAGICS = ['KDMV', 'COWD'];
const SECTOR_BYTES = 512;

export interface VmdkExtent {
  readonly name: string;
  /** So many bytes it has at least; null: it has a table of its own that tells. */
  readonly bytesMin: number | null;
}

/**
 * None for an image in one file. @param start the first megabyte of the file @returns null: it names what is not beside
 * it
 */
export function extentsIn(start: Buffer): readonly VmdkExtent[] | null {
  if (MAGICS.includes(start.toString('latin1', 0, 4))) return [];
  const extents: VmdkExtent[] = [];
  for (const line of start.toString('utf8').split(/[\r\n]+/)) {
    const [, sectors, type, name, offset = '0'] = /^\s*RW\s+(\d+)\s+(\w+)\s+"([^"]*)"(?:\s+(\d+))?/.exec(line) ?? [];
    if (name === undefined) {
      // Whatever QEMU might take for an extent, it leads nowhere else.
      if (/"\s*\//.test(line) && !/^\s*parentFileNameHint\s*=/.test(line)) return null;
      continue;
    }
    if (name === '' || name.startsWith('/') || name.split('/').includes('..')) return null;
    const bytes = (Number(sectors) + Number(offset)) * SECTOR_BYTES;
    extents.push({ name, bytesMin: type === 'FLAT' || type === 'VMFS' ? bytes : null });
  }
  return extents;
}
