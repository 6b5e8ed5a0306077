// Extended attributes of files: listxattr(2), getxattr(2), setxattr(2), removexattr(2). Node.js has no calls for them.
import { lastError, libc } from './libc.ts';

/** XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h. */
const BYTES_MAX = 64 * 1024;

export interface FileAttribute {
  /** With its prefix: "user.note". */
  readonly name: string;
  readonly value: Buffer;
}

/** Whether the path may be a link; `follow` is for links of /proc to open files. */
type Links = 'keep' | 'follow';

/** In order of their names. @param path bytes without NUL @throws SystemError */
export function attributesOf(path: Buffer, links: Links = 'keep'): readonly FileAttribute[] {
  const name = terminated(path);
  const list = Buffer.alloc(BYTES_MAX);
  const read = links === 'keep' ? libc.llistxattr : libc.listxattr;
  const listBytes = Number(read(name, list, BYTES_MAX));
  if (listBytes < 0) throw lastError('listxattr');
  const names = list.toString('latin1', 0, listBytes).split('\0').slice(0, -1).sort();
  return names.map((one) => ({ name: one, value: attributeOf(name, one, links) }));
}

/** Made or replaced. @throws SystemError */
export function setAttribute(path: Buffer, { name, value }: FileAttribute, links: Links = 'keep'): void {
  const set = links === 'keep' ? libc.lsetxattr : libc.setxattr;
  if (set(terminated(path), name, value, value.length, 0) !== 0) throw lastError(`setxattr ${name}`);
}

/** @throws SystemError, ENODATA when there is none */
export function removeAttribute(path: Buffer, name: string, links: Links = 'keep'): void {
  const remove = links === 'keep' ? libc.lremovexattr : libc.removexattr;
  if (remove(terminated(path), name) !== 0) throw lastError(`removexattr ${name}`);
}

function attributeOf(path: Buffer, name: string, links: Links): Buffer {
  const value = Buffer.alloc(BYTES_MAX);
  const read = links === 'keep' ? libc.lgetxattr : libc.getxattr;
  const valueBytes = Number(read(path, name, value, BYTES_MAX));
  if (valueBytes < 0) throw lastError(`getxattr ${name}`);
  return Buffer.from(value.subarray(0, valueBytes));
}

function terminated(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.alloc(1)]);
}
