// A disk as installers make it: what the firmware starts from, the root, and /var by itself, each in a partition.
import { rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { limits } from '../../src/base/mod.ts';
import { makeFile, place, run } from './disk-image.ts';
import { type Content, type SystemImage, systemFiles, writeTree } from './system-image.ts';

const { MIB } = limits;
export const ESP_UUID = 'A1B2-C3D4';
export const ROOT_UUID = '5e1f7a60-1111-4222-8333-444455556666';

export interface SeveralDisk {
  readonly path: string;
  readonly root: SystemImage;
  readonly variable: SystemImage;
  /** As mtools name it. */
  readonly esp: string;
}

export interface SeveralFiles {
  readonly root?: Readonly<Record<string, Content | null>>;
  readonly variable?: Readonly<Record<string, Content | null>>;
  readonly esp?: Readonly<Record<string, Content>>;
  readonly fatBits?: 12 | 16 | 32;
}

const FSTAB = [
  `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1`,
  `UUID=${ESP_UUID} /boot/efi vfat umask=0077 0 1`,
  'LABEL=var /var ext4 defaults 0 2',
  '',
].join('\n');

/** Three partitions of a GPT, in this order: ESP, root, /var. */
export function makeSeveral(folder: string, files: SeveralFiles = {}): SeveralDisk {
  const path = join(folder, 'disk');
  const fatBits = files.fatBits ?? 32;
  const espBytes = fatBits === 32 ? 40 * MIB : 8 * MIB;
  const [espAt, rootAt, varAt] = [MIB, MIB + espBytes, 33 * MIB + espBytes];
  makeFile(path, varAt + 18 * MIB);
  const table = [
    'label: gpt',
    `start=2048, size=${espBytes / 512}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B`,
    `start=${rootAt / 512}, size=${(32 * MIB) / 512}`,
    `start=${varAt / 512}, size=${(16 * MIB) / 512}`,
    '',
  ];
  run('sfdisk', ['-q', path], table.join('\n'));
  const system = Object.fromEntries(Object.entries(systemFiles()).filter(([name]) => !name.startsWith('/var/')));
  const root = {
    ...system,
    '/etc/fstab': FSTAB,
    '/boot/efi/below-the-mount': 'web1 10.0.0.11\n',
    '/var/below-the-mount': 'web1 10.0.0.11\n',
    ...files.root,
  };
  placeExt(path, rootAt, 32 * MIB, writeTree(join(folder, 'root'), root), ['-U', ROOT_UUID]);
  const variable = { '/lib/systemd/random-seed': 'seed', '/etc/.keep': '', ...files.variable };
  placeExt(path, varAt, 16 * MIB, writeTree(join(folder, 'var'), variable), ['-L', 'var']);
  placeFat(
    path,
    espAt,
    espBytes,
    writeTree(join(folder, 'esp'), { '/EFI/debian/grub.cfg': '\n', ...files.esp }),
    fatBits,
  );
  const extAt = (offsetBytes: number): SystemImage => ({ path, offsetBytes, ext: `${path}?offset=${offsetBytes}` });
  return { path, root: extAt(rootAt), variable: extAt(varAt), esp: `${path}@@${espAt}` };
}

function placeExt(disk: string, at: number, sizeBytes: number, tree: string, mkfs: readonly string[]): void {
  makeFile(`${tree}.ext`, sizeBytes);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', ...mkfs, '-d', tree, `${tree}.ext`]);
  rmSync(tree, { recursive: true });
  place(`${tree}.ext`, disk, at);
  rmSync(`${tree}.ext`);
}

function placeFat(disk: string, at: number, sizeBytes: number, tree: string, bits: number): void {
  makeFile(`${tree}.fat`, sizeBytes);
  const cluster = bits === 12 ? '8' : '1';
  run('mkfs.vfat', ['-F', String(bits), '-s', cluster, '-i', ESP_UUID.replace('-', ''), `${tree}.fat`]);
  run('sh', ['-c', 'mcopy -s -Q -i "$2" "$1"/* ::/', 'sh', tree, `${tree}.fat`]);
  rmSync(tree, { recursive: true });
  place(`${tree}.fat`, disk, at);
  rmSync(`${tree}.fat`);
}

/** What the programs of each file system say of it; '' when nothing is wrong. */
export function checkSeveral(disk: SeveralDisk): string {
  const fat = `${disk.path}.check`;
  try {
    const [path = '', at = '0'] = disk.esp.split('@@');
    run('sh', [
      '-c',
      'dd if="$1" of="$2" bs=1M skip="$3" count=40 status=none',
      'sh',
      path,
      fat,
      `${Number(at) / MIB}`,
    ]);
    run('fsck.fat', ['-n', fat]);
    run('e2fsck', ['-fn', disk.root.ext]);
    run('e2fsck', ['-fn', disk.variable.ext]);
    return '';
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout);
  } finally {
    rmSync(fat, { force: true });
  }
}

/** A file of the ESP as mtools read it; null when it is not there. */
export function catFat(disk: SeveralDisk, path: string): string | null {
  try {
    return run('mtype', ['-i', disk.esp, `::${path}`]);
  } catch {
    return null;
  }
}

/**
 * A fourth partition, with XFS and a tree in it, which is removed.
 * @returns runs a command of a shell in it, once it is known to be whole
 */
export function addXfs(disk: SeveralDisk, tree: string): (command: string) => string {
  const part = makeFile(`${tree}.xfs`, 320 * MIB);
  run('mkfs.xfs', ['-q', '-L', 'data', part]);
  const inside = (command: string): string => {
    const script = 'mkdir -p "$2"; mount -o loop "$1" "$2"; cd "$2"; eval "$3"; cd /; umount "$2"; rmdir "$2"';
    return run('unshare', ['--mount', 'bash', '-ec', script, 'sh', part, `${part}.mnt`, command]);
  };
  inside(`cp -a "${tree}/." .`);
  rmSync(tree, { recursive: true });
  const at = statSync(disk.path).size - MIB;
  truncateSync(disk.path, at + 322 * MIB);
  run('sfdisk', ['-q', '--relocate', 'gpt-bak-std', disk.path]);
  run('sfdisk', ['-q', '--append', disk.path], `start=${at / 512}, size=${(320 * MIB) / 512}\n`);
  place(part, disk.path, at);
  return (command) => {
    const copy = ['-c', 'dd if="$1" of="$2" bs=1M skip="$3" count=320 conv=sparse status=none', 'sh'];
    run('sh', [...copy, disk.path, part, String(at / MIB)]);
    run('xfs_repair', ['-n', '-f', part]);
    return inside(command);
  };
}
