// The file of a target while it grows. Blocks of zeros are not written, and a stream tells its length only at its end, so
// until the file gets its size it may end before a block that is there already: what lies behind the end is zeros.
import type { Completion, Device, Transfer } from '../device/contract.ts';

/** A device whose reads behind the end of the file give zeros, as they will when the file has its size. */
export function growingFile(device: Device): Device {
  const reads = new Map<number, Transfer>();
  const filled = (completion: Completion): Completion => {
    const transfer = reads.get(completion.tag);
    reads.delete(completion.tag);
    if (transfer === undefined || completion.error !== null) return completion;
    transfer.buffer.fill(0, completion.bytes);
    return { ...completion, bytes: transfer.buffer.byteLength };
  };
  return {
    info: device.info,
    submit(transfer) {
      if (transfer.kind === 'read') reads.set(transfer.tag, transfer);
      device.submit(transfer);
    },
    reap: (timeoutMs) => device.reap(timeoutMs).map(filled),
    zero: (offsetBytes, lengthBytes) => device.zero(offsetBytes, lengthBytes),
    flush: () => device.flush(),
    extents: (offsetBytes, lengthBytes) => device.extents(offsetBytes, lengthBytes),
    fingerprint: () => device.fingerprint(),
    close: () => device.close(),
  };
}
