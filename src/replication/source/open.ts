// The producer's worker thread: a prepared source as a device.
import { UnderstudyError } from '../../base/mod.ts';
import type { Completion, Device } from '../device/contract.ts';
import { fileFingerprint, openFileDevice } from '../device/file.ts';
import { openHttpDevice } from '../device/http.ts';
import { openNbdDevice } from '../device/nbd.ts';
import { errorOf, readNote } from '../device/read-exchange.ts';
import { openStreamDevice } from '../device/stream.ts';
import { parseContents } from './contents.ts';
import { nameOfSource } from './name.ts';
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
      const { uri, served } = descriptor;
      const asUser = (error: unknown): unknown => namedByUser(error, uri, served.uri);
      const device = renaming(asUser, () => openNbdDevice({ uri, role: 'source', reconnectTimeoutMs: 0 }));
      return servedDevice(device, served, asUser);
    }
    case 'stream': {
      const { uri, storage, sizeBytes, from, fingerprintFd, fingerprint, contents, asItIs } = descriptor;
      const recognised = parseContents(contents)?.recognised === true;
      const name = nameOfSource(uri);
      const judgeEnd = asItIs ? null : (last: Uint8Array) => endingFormat(name, last, recognised);
      return openStreamDevice({ uri, identity: storage, sizeBytes, from, fingerprintFd, fingerprint, judgeEnd });
    }
    case 'http': {
      const { uri, storage, sizeBytes, fingerprint, exchange, window } = descriptor;
      const device = openHttpDevice({ uri, identity: storage, sizeBytes, fingerprint, exchange });
      return window === null ? device : windowDevice(device, window);
    }
  }
}

/** The server's device under the name of the image, which the server knows nothing of. */
function servedDevice(device: Device, served: ServedImage, asUser: (error: unknown) => unknown): Device {
  return {
    info: { ...device.info, uri: served.uri, identity: served.storage },
    submit: (transfer) => device.submit(transfer),
    reap: (timeoutMs) => renaming(asUser, () => device.reap(timeoutMs)).map((one) => explained(one, served)),
    zero: (offsetBytes, lengthBytes) => device.zero(offsetBytes, lengthBytes),
    flush: () => device.flush(),
    extents: (offsetBytes, lengthBytes) => renaming(asUser, () => device.extents(offsetBytes, lengthBytes)),
    fingerprint: () => served.fingerprint ?? served.fingerprintFds.map(fileFingerprint).join(','),
    close: () => device.close(),
  };
}

/** An error of the private server under the name that the user gave the image. */
function namedByUser(error: unknown, inner: string, uri: string): unknown {
  if (!(error instanceof UnderstudyError) || !error.message.includes(inner)) return error;
  return new UnderstudyError(error.code, error.message.replaceAll(inner, uri), {
    cause: error,
    details: error.details,
  });
}

function renaming<T>(asUser: (error: unknown) => unknown, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw asUser(error);
  }
}

/** What failed below the server, which itself only knows that it did. */
function explained(completion: Completion, { uri, failure }: ServedImage): Completion {
  if (completion.error === null) return completion;
  const text = failure === null ? '' : readNote(failure);
  if (text !== '') return { ...completion, error: errorOf(text) };
  const { code } = completion.error;
  return {
    ...completion,
    error: new UnderstudyError(code, `read ${uri}: the image could not be read there`, { cause: completion.error }),
  };
}
