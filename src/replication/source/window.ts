// A part of a device as a device: an image that lies in an archive as it is.
import type { Completion, Device, Extent, Transfer } from '../device/contract.ts';

/** A part of a source that can be read at any offset. */
export interface Window {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Reading only; closing it closes the device. */
export function windowDevice(device: Device, { offsetBytes, lengthBytes }: Window): Device {
  return {
    info: { ...device.info, sizeBytes: lengthBytes, alignmentBytes: 1 },
    submit(transfer: Transfer): void {
      const room = Math.max(0, lengthBytes - transfer.offsetBytes);
      const buffer = transfer.buffer.subarray(0, Math.min(transfer.buffer.byteLength, room));
      device.submit({ ...transfer, buffer, offsetBytes: offsetBytes + transfer.offsetBytes });
    },
    reap: (timeoutMs: number): readonly Completion[] => device.reap(timeoutMs),
    zero: (at: number, bytes: number) => device.zero(offsetBytes + at, bytes),
    flush: () => device.flush(),
    extents(at: number, bytes: number): readonly Extent[] | null {
      const extents = device.extents(offsetBytes + at, bytes);
      return extents?.map((extent) => ({ ...extent, offsetBytes: extent.offsetBytes - offsetBytes })) ?? null;
    },
    fingerprint: () => device.fingerprint(),
    close: () => device.close(),
  };
}
