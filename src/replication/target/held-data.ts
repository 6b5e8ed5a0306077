// What a target shows of data that somebody may still want, for targets that only its one connection can look at.
import { limits, UnderstudyError } from '../../base/mod.ts';
import { allocatePages } from '../../linux/mod.ts';
import type { Device } from '../device/contract.ts';
import { judgeContents, LOOK_BYTES } from '../source/mod.ts';

/**
 * A partition table or file system in the first MiB, in words; null for anything else, as for a blank disk.
 * Nothing may be in flight. @throws the device's errors; TARGET_TIMEOUT
 */
export function dataHeldBy(device: Device): string | null {
  const page = allocatePages(LOOK_BYTES);
  try {
    const buffer = new Uint8Array(page.buffer, 0, Math.min(LOOK_BYTES, device.info.sizeBytes ?? LOOK_BYTES));
    const first = readStart(device, buffer);
    if (first.every((byte) => byte === 0)) return null;
    const { recognised, text } = judgeContents(first, device.info.sizeBytes);
    return recognised ? text : null;
  } finally {
    page.unmap();
  }
}

function readStart(device: Device, buffer: Uint8Array): Uint8Array {
  device.submit({ kind: 'read', tag: 0, offsetBytes: 0, buffer });
  const untilMs = performance.now() + limits.IO_TIMEOUT_MS;
  while (performance.now() < untilMs) {
    const completion = device.reap(limits.WAIT_MS_MAX)[0];
    if (completion === undefined) continue;
    if (completion.error !== null) throw completion.error;
    return buffer.subarray(0, completion.bytes);
  }
  throw new UnderstudyError('TARGET_TIMEOUT', `read ${device.info.uri}: no answer`);
}
