// The producer process: detached from whoever started it, alone with the source, gone when nobody wants it.
// Its main thread keeps the helpers of the source (decompressor, qemu-nbd); its worker thread reads.
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../base/mod.ts';
import { closeOnExec, mapShared } from '../../linux/mod.ts';
import { HEADER_BYTES, PRODUCER_OPTIONS, RingHeader } from '../ring/mod.ts';
import { prepareSource } from '../source/mod.ts';
import { fail } from './engine.ts';
import { type ProducerOptions, RING_FD } from './options.ts';

async function main(): Promise<void> {
  process.title = 'understudy-producer';
  // Inherited across one exec on purpose; a helper that kept it would keep the lock alive after our death.
  closeOnExec(RING_FD);
  const options = JSON.parse(process.env[PRODUCER_OPTIONS] ?? '') as ProducerOptions;
  // Not for the eyes of helpers that we start.
  delete process.env[PRODUCER_OPTIONS];
  const header = new RingHeader(mapShared(RING_FD, HEADER_BYTES).buffer);
  header.add('producerEpoch', 1);
  header.set('producerPid', process.pid);
  try {
    const prepared = await prepareSource(options.source);
    try {
      const worker = new Worker(fileURLToPath(new URL('./worker.js', import.meta.url)), {
        workerData: { options, descriptor: prepared.descriptor },
      });
      await new Promise<void>((resolve, reject) => {
        worker.on('error', reject);
        worker.on('exit', () => resolve());
      });
    } finally {
      await prepared.close();
    }
  } catch (error) {
    process.stderr.write(`producer: ${messageOf(error)}\n`);
    fail(header, options.ringPath, error);
    process.exitCode = 1;
  }
}

await main();
