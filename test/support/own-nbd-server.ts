// Worker thread of a test: the NBD server that the sources use, with the bytes that it is given.
import { parentPort, workerData } from 'node:worker_threads';
import { serveOverNbd } from '../../src/replication/source/nbd-server.ts';

const { socket, content } = workerData as { socket: string; content: Uint8Array };
const readAt = async (at: number, bytes: number): Promise<Uint8Array> => content.subarray(at, at + bytes);
await serveOverNbd({ sizeBytes: content.byteLength, readAt }, socket);
parentPort?.postMessage('listening');
