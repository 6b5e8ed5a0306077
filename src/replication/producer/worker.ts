// Entry of the producer's worker thread.
import { workerData } from 'node:worker_threads';
import { mapShared } from '../../linux/mod.ts';
import { HEADER_BYTES, RingHeader } from '../ring/mod.ts';
import type { SourceDescriptor } from '../source/mod.ts';
import { fail, produce } from './engine.ts';
import { type ProducerOptions, RING_FD } from './options.ts';

const { options, descriptor } = workerData as { options: ProducerOptions; descriptor: SourceDescriptor };
const header = new RingHeader(mapShared(RING_FD, HEADER_BYTES).buffer);
try {
  produce(options, descriptor, header);
} catch (error) {
  fail(header, options.ringPath, error);
  process.exitCode = 1;
}
