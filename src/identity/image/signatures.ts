// What a range of an image is a part of, or holds, by its signatures: libblkid's, which knows those of RAID arrays at
// both ends of a device, of mirrors over the network, of caches and of other systems' file systems (blkid(8), "-p").
import type { ImageFile } from '../ext/mod.ts';
import { printable } from '../tree/mod.ts';
import { runToEnd } from './tool.ts';

/** A partition, or the whole image. */
export interface Region {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

interface Signature {
  readonly type: string;
  readonly usage: string;
  readonly version: string;
}

/** What blkid calls something, and what people call it. */
const MEMBERS: Readonly<Record<string, string>> = {
  linux_raid_member: 'a member of a Linux RAID array (md)',
  drbd: 'the backing device of DRBD',
  drbdproxy_datalog: 'a device of DRBD',
  bcache: 'a device of bcache',
  LVM1_member: 'LVM',
  LVM2_member: 'LVM',
  isw_raid_member: 'a member of a RAID array of firmware (Intel)',
  ddf_raid_member: 'a member of a RAID array of a controller (DDF)',
  zfs_member: 'a member of a ZFS pool',
  VMFS_volume_member: 'a member of VMFS',
  vdo: 'a device of VDO',
  stratis: 'a member of a Stratis pool',
  DM_integrity: 'a device of dm-integrity',
};
const OTHERS: Readonly<Record<string, string>> = {
  ntfs: 'NTFS (Windows)',
  ReFS: 'ReFS (Windows)',
  BitLocker: 'BitLocker (Windows)',
  exfat: 'exFAT',
  apfs: 'APFS (macOS)',
  hfsplus: 'HFS+ (macOS)',
  ufs: 'UFS (BSD)',
};
const WINDOWS = ['ntfs', 'ReFS', 'BitLocker'];
const WINDOWS_ADVICE =
  'the identity of Windows cannot be changed here: run Sysprep on it, then "understudy copy" copies the disk';
/** What DRBD and md align by. */
const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
/** Of md: linux/drivers/md/md_p.h, in the byte order of the machine; of DRBD: drbd_md_on_disk, versions 8 and 9. */
const MD_MAGIC = 0xa92b4efc;
const DRBD_MAGICS = [0x8374026b, 0x8374026c, 0x8374026d];
const DRBD_MAGIC_AT = 60;
/** Where md's superblock of version 0.90 is: in the last whole 64 KiB but one at the end. */
const MD_RESERVED_BYTES = 65_536;

/**
 * What the region is one part of, so that it must not be changed by itself; null: nothing. One clause.
 * @param path where programs find the bytes of `image`
 */
export async function membershipOf(
  image: ImageFile,
  path: string,
  region: Region,
  signal: AbortSignal,
): Promise<string | null> {
  const found = await memberIn(image, path, region, signal);
  if (found === null) return null;
  const { type, version } = found;
  if (type.startsWith('LVM')) return 'LVM, which is not supported';
  const what = MEMBERS[type] ?? `a member of what blkid calls "${type}"`;
  const told = version === '' ? what : `${what}, metadata ${version}`;
  return `${told}: one member is not changed by itself, for it would differ from the others; clone the assembled device`;
}

async function memberIn(
  image: ImageFile,
  path: string,
  region: Region,
  signal: AbortSignal,
): Promise<Signature | null> {
  const whole = await signatureIn(path, region, 'raid,other,filesystem', signal);
  if (whole !== null && isMember(whole)) return whole;
  return wornMemberIn(image, region);
}

function isMember({ type, usage }: Signature): boolean {
  return usage === 'raid' || type in MEMBERS;
}

/**
 * blkid believes superblocks that are whole, at the ends of devices that are a multiple of what they are aligned to.
 * One that was torn in writing is that of an array's member still.
 */
async function wornMemberIn(image: ImageFile, { offsetBytes, sizeBytes }: Region): Promise<Signature | null> {
  const isMd = async (at: number): Promise<boolean> => {
    if (at < 0) return false;
    const bytes = await image.read(offsetBytes + at, 8);
    return bytes.length === 8 && (bytes.readUInt32LE(0) === MD_MAGIC || bytes.readUInt32BE(0) === MD_MAGIC);
  };
  const sectors = Math.floor(sizeBytes / SECTOR_BYTES);
  const places = [
    ['1.1', 0],
    ['1.2', BLOCK_BYTES],
    ['1.0', Math.floor((sectors - 16) / 8) * 8 * SECTOR_BYTES],
    ['0.90', (Math.floor(sizeBytes / MD_RESERVED_BYTES) - 1) * MD_RESERVED_BYTES],
  ] as const;
  for (const [version, at] of places) {
    if (await isMd(at)) return { type: 'linux_raid_member', usage: 'raid', version };
  }
  const last = (Math.floor(sizeBytes / BLOCK_BYTES) - 1) * BLOCK_BYTES;
  const bytes = last < BLOCK_BYTES ? Buffer.alloc(0) : await image.read(offsetBytes + last + DRBD_MAGIC_AT, 4);
  const isDrbd = bytes.length === 4 && DRBD_MAGICS.includes(bytes.readUInt32BE(0));
  return isDrbd ? { type: 'drbd', usage: 'raid', version: '' } : null;
}

/** What the region holds of which nothing here can read the files, one clause; null: nothing that is known. */
export async function foreignContent(path: string, region: Region, signal: AbortSignal): Promise<string | null> {
  const found = await signatureIn(path, region, 'filesystem,crypto', signal);
  if (found === null) return null;
  const { type } = found;
  const what = `${OTHERS[type] ?? type}, which cannot be read here`;
  return WINDOWS.includes(type) ? `${what}; ${WINDOWS_ADVICE}` : what;
}

/** Null where there is none, and where there are several, of which nobody knows which one counts. */
async function signatureIn(
  path: string,
  { offsetBytes, sizeBytes }: Region,
  usages: string,
  signal: AbortSignal,
): Promise<Signature | null> {
  if (sizeBytes <= 0) return null;
  const range = ['--offset', String(offsetBytes), '--size', String(sizeBytes)];
  const args = ['-p', '-o', 'export', '-u', usages, ...range, '--', path];
  const { status, stdout } = await runToEnd('blkid', args, signal);
  if (status !== 0) return null;
  const fields = new Map(
    stdout.split('\n').flatMap((line) => {
      const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, printable(value).slice(0, 100)] as const];
    }),
  );
  const type = fields.get('TYPE') ?? '';
  return type === '' ? null : { type, usage: fields.get('USAGE') ?? '', version: fields.get('VERSION') ?? '' };
}
