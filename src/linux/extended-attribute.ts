// Extended attributes of files, links not followed: llistxattr(2), lgetxattr(2), lsetxattr(2), lremovexattr(2). Node.js has no calls for them.
import { lastError, libc } from './libc.ts';

/** XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h. */
const BYTES_MAX = 64 * 1024;

export interface FileAttribute {
  /** With its prefix: "user.note". */
  readonly name: string;
  readonly value: Buffer;
}

/** In order of their names. @param path bytes without NUL @throws SystemError */
export function attributesOf(path: Buffer): readonly FileAttribute[] {
  const name = terminated(path);
  const list = Buffer.alloc(BYTES_MAX);
  const listBytes = Number(libc.llistxattr(name, list, BYTES_MAX));
  if (listBytes < 0) throw lastError('llistxattr');
  const names = list.toString('latin1', 0, listBytes).split('\0').slice(0, -1).sort();
  return names.map((one) => ({ name: one, value: attributeOf(name, one) }));
}

/** Made or replaced. @throws SystemError */
export function setAttribute(path: Buffer, { name, value }: FileAttribute): void {
  if (libc.lsetxattr(terminated(path), name, value, value.length, 0) !== 0) throw lastError(`lsetxattr ${name}`);
}

/** @throws SystemError, ENODATA when there is none */
export function removeAttribute(path: Buffer, name: string): void {
  if (libc.lremovexattr(terminated(path), name) !== 0) throw lastError(`lremovexattr ${name}`);
}

function attributeOf(path: Buffer, name: string): Buffer {
  const value = Buffer.alloc(BYTES_MAX);
  const valueBytes = Number(libc.lgetxattr(path, name, value, BYTES_MAX));
  if (valueBytes < 0) throw lastError(`lgetxattr ${name}`);
  return Buffer.from(value.subarray(0, valueBytes));
}

function terminated(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.alloc(1)]);
}
