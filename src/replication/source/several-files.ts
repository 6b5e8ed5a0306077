// Whether an image consists of more files than the one that was named: then the permissions of that one say nothing of
// the others.
import { closeSync, openSync, readSync } from 'node:fs';
import { limits } from '../../base/mod.ts';
import type { SourceFormat } from './format.ts';
import { extentsIn } from './vmdk-extents.ts';

const LOOK_BYTES = limits.MIB;
/** qcow2.txt of QEMU, "Header": where the name of the backing file is, and a bit for a data file outside. */
const QCOW2 = { backingAt: 8, versionAt: 4, incompatibleAt: 72, headerBytes: 104, dataFile: 4n };

/**
 * @param path of the file of a source; what it holds now @param format as it was found @returns true also where that is
 *   not sure
 */
export function hasSeveralFiles(path: string, format: SourceFormat | 'auto'): boolean {
  if (format !== 'qcow2' && format !== 'vmdk') return false;
  const start = startOf(path);
  if (format === 'qcow2') return namesInQcow2(start);
  return extentsIn(start)?.length !== 0 || start.includes('parentFileNameHint');
}

function namesInQcow2(start: Buffer): boolean {
  if (start.byteLength < QCOW2.headerBytes) return true;
  if (start.readBigUInt64BE(QCOW2.backingAt) !== 0n) return true;
  const isOld = start.readUInt32BE(QCOW2.versionAt) < 3;
  return !isOld && (start.readBigUInt64BE(QCOW2.incompatibleAt) & QCOW2.dataFile) !== 0n;
}

function startOf(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(LOOK_BYTES);
    return bytes.subarray(0, readSync(fd, bytes, 0, LOOK_BYTES, 0));
  } finally {
    closeSync(fd);
  }
}
