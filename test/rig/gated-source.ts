// A source that stops where the test wants it to: nbdkit serves what lies below the gate and holds every read beyond it
// until the gate is moved. So a test knows to the block where a producer stands, on a fast machine and on a slow one.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NbdPlace, NbdServer } from '../support/nbd-server.ts';
import type { Stage } from './stage.ts';

// $3 bytes at $4 are wanted. The gate is replaced by rename, so that no reader meets half a number.
const PREAD = [
  'while [ $(($3 + $4)) -gt $(cat FOLDER/gate) ]; do sleep 0.02; done;',
  'dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none',
].join(' ');

export class GatedSource {
  readonly uri: string;
  readonly #server: NbdServer;

  private constructor(server: NbdServer) {
    this.#server = server;
    this.uri = server.uri;
  }

  /** Serves `content`, at a Unix socket or where `listen` says; reads that end beyond `gateBytes` wait. */
  static async start(stage: Stage, content: Buffer, gateBytes: number, listen?: NbdPlace): Promise<GatedSource> {
    stage.allow(content);
    const server = await stage.nbdkit({
      listen,
      filters: ['log'],
      plugin: [
        'eval',
        'get_size=stat -Lc %s FOLDER/disk',
        `pread=${PREAD}`,
        // One after the other of each client; a read that is held must not keep another client from its handshake.
        'thread_model=echo serialize_requests',
        'logfile=FOLDER/log',
      ],
      files: { disk: content, gate: String(gateBytes) },
    });
    return new GatedSource(server);
  }

  /** Where its socket and its files are. */
  get folder(): string {
    return this.#server.folder;
  }

  /** Moves the gate. @default everything may be read */
  open(gateBytes = Number.MAX_SAFE_INTEGER): void {
    const gate = join(this.#server.folder, 'gate');
    writeFileSync(`${gate}.new`, String(gateBytes));
    renameSync(`${gate}.new`, gate);
  }

  /** Serves something else from now on. */
  replace(content: Buffer): void {
    const disk = join(this.#server.folder, 'disk');
    writeFileSync(`${disk}.new`, content);
    renameSync(`${disk}.new`, disk);
  }

  /** Requests so far, as nbdkit logs them. */
  get reads(): readonly { readonly offsetBytes: number; readonly lengthBytes: number }[] {
    return readsOf(join(this.#server.folder, 'log'));
  }

  /** Bytes asked for so far. */
  get bytesRead(): number {
    return this.reads.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  }
}

/** The read requests in a log of nbdkit's log filter. */
export function readsOf(log: string): readonly { readonly offsetBytes: number; readonly lengthBytes: number }[] {
  const requests = readFileSync(log, 'utf8').matchAll(/ Read id=\d+ offset=(0x[0-9a-f]+) count=(0x[0-9a-f]+)/g);
  return [...requests].map((request) => ({ offsetBytes: Number(request[1]), lengthBytes: Number(request[2]) }));
}
