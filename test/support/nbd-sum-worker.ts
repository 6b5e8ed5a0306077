// Worker thread of a test: reads an export to its end and sends the sum of its bytes.
import { parentPort, workerData } from 'node:worker_threads';
import { limits } from '../../src/base/mod.ts';
import { openNbdDevice } from '../../src/replication/device/nbd.ts';
import { readToEnd } from '../conformance/drive.ts';

const device = openNbdDevice({ uri: String(workerData), role: 'source' });
// Extents first: their callback comes from libnbd into this thread.
device.extents(0, device.info.sizeBytes ?? 0);
const content = readToEnd(device, 2 * limits.MIB);
device.close();
parentPort?.postMessage(content.reduce((sum, byte) => sum + byte, 0));
