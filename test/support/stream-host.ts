// Worker thread that keeps a source prepared while the thread that started it reads, blocking, and so could not.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { present } from '../../src/base/mod.ts';
import { identifySource, prepareSource } from '../../src/replication/source/mod.ts';

export interface StreamHostTask {
  readonly path: string;
  /** Gets the descriptor. */
  readonly port: MessagePort;
  /** One word, set to 1 once the descriptor is on its way. */
  readonly ready: SharedArrayBuffer;
}

const { path, port, ready } = workerData as StreamHostTask;
const prepared = await prepareSource(await identifySource({ uri: path }));
port.postMessage(prepared.descriptor);
const words = new Int32Array(ready);
Atomics.store(words, 0, 1);
Atomics.notify(words, 0);
present(parentPort, 'parent port').once('message', async () => {
  await prepared.close();
  port.close();
});
