// The main thread's side of source-reader.ts.
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { present } from '../../src/base/mod.ts';
import type { DeviceInfo } from '../../src/replication/device/contract.ts';
import type { SourceDescriptor } from '../../src/replication/source/mod.ts';
import type { OpenAnswer, ReadAnswer } from './source-reader.ts';

const READ_BYTES = 1024 * 1024;

/** The compiled file of a module of test/support, from sources and from compiled tests alike. */
export function compiled(name: string): string {
  const path = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  return path.includes('/dist/') ? path : path.replace('/test/support/', '/dist/test/support/');
}

export class SourceClient {
  readonly info: DeviceInfo;
  readonly fingerprint: string;
  readonly #worker: Worker;

  private constructor(worker: Worker, info: DeviceInfo, fingerprint: string) {
    this.#worker = worker;
    this.info = info;
    this.fingerprint = fingerprint;
  }

  static async open(descriptor: SourceDescriptor): Promise<SourceClient> {
    const worker = new Worker(compiled('source-reader'), { workerData: descriptor, execArgv: [] });
    const [answer] = (await once(worker, 'message')) as [OpenAnswer];
    if (answer.info === null) throw new Error(`${answer.code}: ${answer.fingerprint}`);
    return new SourceClient(worker, answer.info, answer.fingerprint);
  }

  async read(offsetBytes: number, lengthBytes = READ_BYTES): Promise<ReadAnswer> {
    const answered = once(this.#worker, 'message');
    this.#worker.postMessage({ offsetBytes, lengthBytes });
    return ((await answered) as [ReadAnswer])[0];
  }

  /** Everything up to the end or the first error. */
  async readAll(): Promise<ReadAnswer> {
    const parts: Uint8Array[] = [];
    for (let at = 0; ; at += READ_BYTES) {
      const answer = await this.read(at);
      parts.push(answer.bytes);
      if (answer.code === null && answer.bytes.length === READ_BYTES) continue;
      return { ...answer, bytes: present(Buffer.concat(parts), 'bytes') };
    }
  }

  async close(): Promise<void> {
    const over = once(this.#worker, 'exit');
    this.#worker.postMessage(null);
    await over;
  }
}
