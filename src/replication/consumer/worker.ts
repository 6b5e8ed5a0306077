// Entry of the worker thread of one target.
import { parentPort, workerData } from 'node:worker_threads';
import { present } from '../../base/mod.ts';
import { type ConsumerTask, Control } from './options.ts';
import { runConsumer } from './session.ts';

const { task, ringFd, control } = workerData as { task: ConsumerTask; ringFd: number; control: Int32Array };
const result = runConsumer(task, ringFd, control);
Atomics.store(control, Control.finished, 1);
present(parentPort, 'the port to the main thread').postMessage(result);
