// Disk images with a Debian-like system in them, made in a second by mke2fs -d: bare and partitioned, clean and as a
// running host leaves them. And ways to look at them that are not ours: debugfs, e2fsck, a kernel's mount.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { limits } from '../../src/base/mod.ts';
import type { HostIdentity } from '../../src/identity/mod.ts';
import { makeFile, place, run } from './disk-image.ts';

const { MIB } = limits;

export const LEAD: HostIdentity = {
  hostName: 'web1',
  domain: 'example.org',
  interfaces: [{ name: 'eth0', mac: '52:54:00:00:00:11', addresses: ['10.0.0.11/24'], gateway: '10.0.0.1' }],
  agent: { host: 'web1', controller: 'https://controller.example.org:7780', token: 'token-of-web1-0123456789' },
};

export const SPARE: HostIdentity = {
  hostName: 'spare1',
  domain: 'example.org',
  interfaces: [{ name: 'eth0', mac: '52:54:00:00:00:12', addresses: ['10.0.0.12/24'], gateway: '10.0.0.1' }],
  agent: { host: 'spare1', controller: 'https://controller.example.org:7780', token: 'token-of-spare1-987654321' },
};

/** What is put into a system: text, a link, or what is done with a path of the folder that becomes the image. */
export type Content =
  | string
  | { readonly link: string }
  | { readonly text: string | Buffer; readonly mode?: number; readonly uid?: number; readonly gid?: number }
  | ((path: string) => void);

export const MACHINE_ID = '0123456789abcdef0123456789abcdef';

/** A system as Debian lays it out. Its SSH keys are made once for all tests of a file. */
export function systemFiles(): Record<string, Content> {
  return {
    '/bin': { link: 'usr/bin' },
    '/usr/bin/sh': { text: elfHeader(), mode: 0o755 },
    '/usr/lib/os-release': 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    '/etc/os-release': { link: '../usr/lib/os-release' },
    '/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\n',
    '/etc/hostname': 'web1\n',
    '/etc/hosts':
      '127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.org\tweb1\n10.0.0.11\tweb1.example.org web1\n10.0.0.20\tdb1\n\n' +
      '# for IPv6 capable hosts\n::1     localhost ip6-localhost ip6-loopback\n',
    '/etc/network/interfaces':
      'source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\n# the first card\nallow-hotplug eth0\n' +
      'iface eth0 inet static\n\taddress 10.0.0.11/24\n\tgateway 10.0.0.1\n\tdns-nameservers 10.0.0.2\n',
    '/etc/machine-id': { text: `${MACHINE_ID}\n`, mode: 0o444 },
    '/var/lib/dbus/machine-id': { link: '/etc/machine-id' },
    '/etc/understudy/agent.json': {
      text: `${JSON.stringify({ ...LEAD.agent, caFile: 'ca.pem' }, null, 2)}\n`,
      mode: 0o600,
    },
    '/etc/systemd/system/multi-user.target.wants/understudy-agent.service': {
      link: '/etc/systemd/system/understudy-agent.service',
    },
    '/etc/systemd/system/understudy-agent.service': '[Service]\nExecStart=/usr/bin/node /usr/lib/understudy/agent.js\n',
    '/etc/motd': 'Welcome to web1\n',
    '/etc/nginx/sites-enabled/wiki': 'server {\n  listen 80;\n  server_name web1.example.org;\n}\n',
  };
}

/** The first bytes of a program for x86-64: enough to tell which machine it is for. */
function elfHeader(): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeUInt8(2, 4);
  header.writeUInt8(1, 5);
  header.writeUInt16LE(62, 18);
  return header;
}

export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';
/** What Debian makes. */
export const KEY_TYPES: readonly KeyType[] = ['ed25519', 'ecdsa', 'rsa'];

/** Host keys, as their files. RSA takes its time to be made anew, so it is left out where keys do not matter. */
export function sshKeyFiles(folder: string, types: readonly KeyType[]): Record<string, Content> {
  const files: Record<string, Content> = {};
  for (const type of types) {
    const path = join(folder, `key-${type}`);
    const bits = type === 'rsa' ? ['-b', '1024'] : [];
    run('ssh-keygen', ['-q', '-t', type, ...bits, '-N', '', '-C', 'root@web1.example.org', '-f', path]);
    files[`/etc/ssh/ssh_host_${type}_key`] = (target) => copyFileSync(path, target);
    files[`/etc/ssh/ssh_host_${type}_key.pub`] = (target) => copyFileSync(`${path}.pub`, target);
  }
  return files;
}

/** Writes files into a folder that becomes an image. null leaves one out that another part of the object has. */
export function writeTree(folder: string, files: Readonly<Record<string, Content | null>>): string {
  mkdirSync(folder, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    if (content === null) continue;
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    if (typeof content === 'function') content(target);
    else if (typeof content === 'string') writeFileSync(target, content);
    else if ('link' in content) symlinkSync(content.link, target);
    else {
      writeFileSync(target, content.text);
      if (content.uid !== undefined) chownSync(target, content.uid, content.gid ?? content.uid);
      if (content.mode !== undefined) chmodSync(target, content.mode);
    }
  }
  return folder;
}

export type Layout = 'bare' | 'gpt' | 'mbr';

export interface SystemImage {
  readonly path: string;
  readonly offsetBytes: number;
  /** As e2fsprogs name its file system. */
  readonly ext: string;
}

export interface ImageOptions {
  readonly layout?: Layout;
  readonly sizeBytes?: number;
  readonly mkfs?: readonly string[];
}

/** An image with a tree in it; the tree's folder is removed. */
export function makeImage(path: string, tree: string, options: ImageOptions = {}): SystemImage {
  const { layout = 'bare', sizeBytes = 48 * MIB, mkfs = ['-t', 'ext4'] } = options;
  const bare = layout === 'bare' ? path : `${path}.ext`;
  makeFile(bare, sizeBytes);
  run('mke2fs', ['-q', '-F', ...mkfs, '-d', tree, bare]);
  rmSync(tree, { recursive: true });
  if (layout === 'bare') return { path, offsetBytes: 0, ext: path };
  const offsetBytes = layout === 'gpt' ? 11 * MIB : 4 * MIB;
  makeFile(path, sizeBytes + offsetBytes + 2 * MIB);
  const size = `size=${sizeBytes / 512}`;
  // A partition of another kind comes first, as the one for GRUB or for swap does.
  const table =
    layout === 'gpt'
      ? `label: gpt\nstart=2048, size=20480, type=21686148-6449-6E6F-744E-656564454649\nstart=22528, ${size}\n`
      : `label: dos\nstart=2048, size=6144, type=82\nstart=8192, ${size}, type=83\n`;
  run('sfdisk', ['-q', path], table);
  place(bare, path, offsetBytes);
  rmSync(bare);
  return { path, offsetBytes, ext: `${path}?offset=${offsetBytes}` };
}

/** Runs shell commands with the image mounted at $M, in a mount namespace of its own; what they print. Needs root. */
export function withMount(image: SystemImage, script: string, mode: 'rw' | 'ro' = 'ro'): string {
  const folder = `${image.path}.mnt`;
  mkdirSync(folder, { recursive: true });
  const shell = [
    `L=$(losetup --find --show --offset ${image.offsetBytes} ${mode === 'ro' ? '--read-only' : ''} "$1")`,
    'trap \'losetup -d "$L"\' EXIT',
    `mount -o ${mode === 'ro' ? 'ro,noload' : 'rw,commit=600'} "$L" "$2"; M=$2`,
    `(${script}\n)`,
    'umount "$2"',
  ].join('\n');
  try {
    return run('unshare', ['--mount', '--propagation', 'private', 'bash', '-ec', shell, 'mounted', image.path, folder]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A file that only the journal of a dirty image knows of. */
export const JOURNALLED = '/etc/only-in-the-journal';
const TRIES_MAX = 5;

/**
 * Makes the image what a snapshot of a running host is: changes by a script lie in its journal only. What is copied is
 * the file below the loop device, after the journal has been committed and before the kernel has written the blocks to
 * their places; where the kernel was quicker than the copy, it is done again.
 */
export function makeDirty(image: SystemImage, script: string): void {
  const copy = `${image.path}.dirty`;
  const work: SystemImage = { ...image, path: `${image.path}.work` };
  const commands = [
    script,
    `echo yes > "$M${JOURNALLED}"`,
    `sync "$M${JOURNALLED}"`,
    `cp --sparse=always "$1" "${copy}"`,
  ];
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    run('cp', ['--sparse=always', image.path, work.path]);
    withMount(work, commands.join('\n'), 'rw');
    rmSync(work.path);
    const state = run('debugfs', ['-R', `stat ${JOURNALLED}`, image.ext.replace(image.path, copy)]);
    if (state.includes('Inode:')) continue;
    run('mv', [copy, image.path]);
    return;
  }
  throw new Error('the kernel always wrote the blocks before they could be copied');
}

/** A file as debugfs reads it. */
export function catFile(image: SystemImage, path: string): string {
  return run('debugfs', ['-R', `cat ${path}`, image.ext]);
}

/** What e2fsck says of the whole file system; '' when nothing is wrong. */
export function checkImage(image: SystemImage): string {
  try {
    run('e2fsck', ['-fn', image.ext]);
    return '';
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout);
  }
}

export function digestOfFile(path: string): string {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(MIB);
  const fd = openSync(path, 'r');
  try {
    for (let bytes = readSync(fd, buffer); bytes > 0; bytes = readSync(fd, buffer))
      hash.update(buffer.subarray(0, bytes));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

/** Whether nothing has this name, a dangling link included. */
export function isAbsent(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined;
}
