// The producer's worker thread: a prepared source as a device.
import type { Device } from '../device/contract.ts';
import { fileFingerprint, openFileDevice } from '../device/file.ts';
import { openNbdDevice } from '../device/nbd.ts';
import { openStreamDevice } from '../device/stream.ts';
import type { ServedImage, SourceDescriptor } from './prepared.ts';
import { endingFormat } from './unwrapped.ts';
import { windowDevice } from './window.ts';

export interface OpenOptions {
  /** Files and block devices past the page cache. @default false */
  readonly direct?: boolean;
}

/**
 * Opens what `prepareSource` of this process's main thread has made ready. Files and block devices can be opened again
 * and
 * again; everything else once. @throws what the driver throws, in the role of a source
 */
export function openPrepared(descriptor: SourceDescriptor, options: OpenOptions = {}): Device {
  switch (descriptor.kind) {
    case 'file': {
      const { uri, path, window } = descriptor;
      const device = openFileDevice({ uri, path, role: 'source', direct: options.direct ?? false });
      return window === null ? device : windowDevice(device, window);
    }
    case 'nbd': {
      if (descriptor.served === null) return openNbdDevice({ uri: descriptor.uri, role: 'source' });
      // A private server ends with its connection: there is nothing to come back to.
      const device = openNbdDevice({ uri: descriptor.uri, role: 'source', reconnectTimeoutMs: 0 });
      return servedDevice(device, descriptor.served);
    }
    case 'stream': {
      const { uri, storage, sizeBytes, from, fingerprintFd, asItIs } = descriptor;
      const judgeEnd = asItIs ? null : (last: Uint8Array) => endingFormat(uri, last);
      return openStreamDevice({ uri, identity: storage, sizeBytes, from, fingerprintFd, judgeEnd });
    }
  }
}

/** The server's device under the name of the image, which the server knows nothing of. */
function servedDevice(device: Device, served: ServedImage): Device {
  return {
    info: { ...device.info, uri: served.uri, identity: served.storage },
    submit: (transfer) => device.submit(transfer),
    reap: (timeoutMs) => device.reap(timeoutMs),
    zero: (offsetBytes, lengthBytes) => device.zero(offsetBytes, lengthBytes),
    flush: () => device.flush(),
    extents: (offsetBytes, lengthBytes) => device.extents(offsetBytes, lengthBytes),
    fingerprint: () => served.fingerprintFds.map(fileFingerprint).join(','),
    close: () => device.close(),
  };
}
