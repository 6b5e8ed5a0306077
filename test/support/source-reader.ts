// Worker thread that opens a prepared source and reads what it is asked to. Messages in: ReadRequest, or null to close.
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf, messageOf, present } from '../../src/base/mod.ts';
import { allocatePages } from '../../src/linux/mod.ts';
import type { DeviceInfo } from '../../src/replication/device/contract.ts';
import { openPrepared, type SourceDescriptor } from '../../src/replication/source/mod.ts';

export interface ReadRequest {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface ReadAnswer {
  readonly bytes: Uint8Array;
  readonly code: string | null;
  readonly message: string;
}

export interface OpenAnswer {
  readonly info: DeviceInfo | null;
  readonly fingerprint: string;
  readonly code: string | null;
}

const port = present(parentPort, 'parent port');

function serve(): void {
  const device = openPrepared(workerData as SourceDescriptor);
  port.postMessage({ info: device.info, fingerprint: device.fingerprint(), code: null } satisfies OpenAnswer);
  port.on('message', (request: ReadRequest | null) => {
    if (request === null) {
      device.close();
      port.close();
      return;
    }
    const { offsetBytes, lengthBytes } = request;
    const memory = allocatePages(lengthBytes);
    const buffer = new Uint8Array(memory.buffer, 0, lengthBytes);
    device.submit({ kind: 'read', tag: 5, offsetBytes, buffer });
    for (;;) {
      const completion = device.reap(1000)[0];
      if (completion === undefined) continue;
      const bytes = buffer.slice(0, completion.bytes);
      memory.unmap();
      const { error } = completion;
      port.postMessage({ bytes, code: error?.code ?? null, message: error?.message ?? '' } satisfies ReadAnswer);
      return;
    }
  });
}

try {
  serve();
} catch (error) {
  port.postMessage({ info: null, fingerprint: messageOf(error), code: codeOf(error) } satisfies OpenAnswer);
}
