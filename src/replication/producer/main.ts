// The producer process: detached from whoever started it, alone with the source, gone when nobody wants it.
// Its main thread keeps the helpers of the source (decompressor, qemu-nbd) and a worker thread reads; where there are
// no
// helpers to keep, the main thread reads by itself, which spares the start of a thread.
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { limits, messageOf } from '../../base/mod.ts';
import { closeOnExec, isLockedByOther, mapShared } from '../../linux/mod.ts';
import { HEADER_BYTES, LockByte, PRODUCER_OPTIONS, RingHeader } from '../ring/mod.ts';
import { prepareSource, type SourceDescriptor } from '../source/mod.ts';
import { fail, produce } from './engine.ts';
import { type ProducerOptions, RING_FD } from './options.ts';

async function main(): Promise<void> {
  process.title = 'understudy-producer';
  // Whoever started us may go with its terminal; whoever else has joined still wants the source read. We end when nobody does.
  process.on('SIGHUP', () => undefined);
  // Inherited across one exec on purpose; a helper that kept it would keep the lock alive after our death.
  closeOnExec(RING_FD);
  const options = JSON.parse(process.env[PRODUCER_OPTIONS] ?? '') as ProducerOptions;
  // Not for the eyes of helpers that we start.
  delete process.env[PRODUCER_OPTIONS];
  const header = new RingHeader(mapShared(RING_FD, HEADER_BYTES).buffer);
  header.add('producerEpoch', 1);
  header.set('producerPid', process.pid);
  const warnings: string[] = [];
  const abandoned = new AbortController();
  const look = setInterval(() => {
    if (!isLockedByOther(RING_FD, LockByte.interest)) abandoned.abort();
  }, limits.LIVENESS_INTERVAL_MS);
  try {
    const prepared = await prepareSource(options.source, {
      signal: abandoned.signal,
      onWarning(warning) {
        warnings.push(warning);
        header.setText('warnings', warnings.join('\n'));
      },
      ...(options.storedDigest ? { onStoredDigest: (hex: string) => header.setText('storedDigest', hex) } : {}),
    });
    try {
      const { descriptor } = prepared;
      const alone = descriptor.kind === 'file' || (descriptor.kind === 'nbd' && descriptor.served === null);
      if (alone) produce(options, descriptor, header);
      else await produceInWorker(options, descriptor);
    } finally {
      await prepared.close();
    }
  } catch (error) {
    process.stderr.write(`producer: ${messageOf(error)}\n`);
    fail(header, options.ringPath, error);
    process.exitCode = 1;
  } finally {
    clearInterval(look);
  }
}

function produceInWorker(options: ProducerOptions, descriptor: SourceDescriptor): Promise<void> {
  const worker = new Worker(fileURLToPath(new URL('./worker.js', import.meta.url)), {
    workerData: { options, descriptor },
  });
  return new Promise<void>((resolve, reject) => {
    worker.on('error', reject);
    worker.on('exit', () => resolve());
  });
}

void main();
