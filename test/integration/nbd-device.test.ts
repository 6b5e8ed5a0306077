// The NBD device against real servers of two makers: what it promises as a device, and what it makes of exports.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import { openNbdDevice } from '../../src/replication/device/nbd.ts';
import { type DeviceStorage, describeDevice } from '../conformance/device.ts';
import { patternBytes, readToEnd, writeAll } from '../conformance/drive.ts';
import {
  type NbdkitOptions,
  type NbdServer,
  nbdcopy,
  startNbdkit,
  startQemuNbd,
  storageOn,
} from '../support/nbd-server.ts';

async function inMemory(content: Uint8Array, options: Partial<NbdkitOptions> = {}): Promise<DeviceStorage> {
  const server = await startNbdkit({ plugin: ['memory', `size=${content.byteLength}`], ...options });
  const image = join(server.folder, 'image');
  writeFileSync(image, content);
  nbdcopy(image, server.uri);
  return storageOn(server);
}

async function inFile(content: Uint8Array, options: Partial<NbdkitOptions> = {}): Promise<DeviceStorage> {
  const plugin = options.plugin ?? [];
  return storageOn(
    await startNbdkit({ ...options, plugin: ['file', 'FOLDER/disk', ...plugin], files: { disk: content } }),
    'disk',
  );
}

const failing = (parameter: string) => (content: Uint8Array) =>
  inFile(content, { filters: ['error'], plugin: [parameter, 'error-rate=100%'] });

describeDevice('nbdkit, memory, Unix socket', { create: inMemory });
describeDevice('nbdkit, file, TCP', {
  create: (content) => inFile(content, { tcp: true }),
  faults: {
    read: failing('error-pread=EIO'),
    write: failing('error-pwrite=EIO'),
    full: failing('error-pwrite=ENOSPC'),
    flush: async () =>
      storageOn(
        await startNbdkit({
          plugin: [
            'eval',
            'get_size=echo 1M',
            'pread=exit 1',
            'can_write=exit 0',
            'can_flush=exit 0',
            // The first one only; EIO is not said again.
            'flush=mkdir $tmpdir/flushed || exit 0; echo EIO >&2; exit 1',
            'pwrite=cat >/dev/null',
          ],
        }),
      ),
  },
});
describeDevice(
  'nbdkit, file, read-only',
  { create: (content) => inFile(content, { options: ['-r'] }) },
  { readOnly: true },
);
describeDevice('nbdkit without zero and extents', {
  create: (content) => inFile(content, { filters: ['nozero', 'noextents'] }),
});
describeDevice('nbdkit without structured replies', { create: (content) => inFile(content, { options: ['--no-sr'] }) });
describeDevice(
  'nbdkit with small, aligned requests only',
  {
    create: (content) =>
      inFile(content, {
        filters: ['blocksize-policy'],
        plugin: [
          'blocksize-error-policy=error',
          'blocksize-minimum=4096',
          'blocksize-preferred=8192',
          'blocksize-maximum=65536',
        ],
      }),
  },
  { sizeMultipleBytes: 4096 },
);
describeDevice(
  'qemu-nbd, raw, Unix socket',
  { create: async (content) => storageOn(await startQemuNbd(content, 'raw'), 'disk') },
  { sizeMultipleBytes: 512 },
);
describeDevice(
  'qemu-nbd, qcow2, TCP',
  { create: async (content) => storageOn(await startQemuNbd(content, 'qcow2', true)) },
  { sizeMultipleBytes: 512 },
);

describe('NBD device - exports', () => {
  const servers: NbdServer[] = [];
  async function started(server: Promise<NbdServer>): Promise<NbdServer> {
    const ready = await server;
    servers.push(ready);
    return ready;
  }
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.stop();
  });

  it('tells holes of a sparse file from data, to the byte, also beyond 4 GiB', async () => {
    const sizeBytes = 6 * limits.GIB;
    const dataAt = 5 * limits.GIB;
    const server = await started(
      startNbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk: patternBytes(65_536) } }),
    );
    await server.kill();
    const disk = join(server.folder, 'disk');
    truncateSync(disk, sizeBytes);
    await server.run();
    const target = openNbdDevice({ uri: server.uri, role: 'target' });
    const content = patternBytes(65_536, 2);
    target.zero(dataAt, 131_072);
    const before = target.extents(0, sizeBytes);
    expect(before).toEqual([
      { offsetBytes: 0, lengthBytes: 65_536, zero: false },
      { offsetBytes: 65_536, lengthBytes: sizeBytes - 65_536, zero: true },
    ]);
    writeAll(target, content, 65_536);
    expect(target.extents(dataAt, 1)).toEqual([{ offsetBytes: dataAt, lengthBytes: 1, zero: true }]);
    target.close();
  });

  it('makes holes instead of writing zeros where the server can', async () => {
    const server = await started(startQemuNbd(patternBytes(8 * limits.MIB), 'raw'));
    const target = openNbdDevice({ uri: server.uri, role: 'target' });
    target.zero(limits.MIB, 6 * limits.MIB);
    target.flush();
    const extents = target.extents(0, 8 * limits.MIB);
    expect(extents).toEqual([
      { offsetBytes: 0, lengthBytes: limits.MIB, zero: false },
      { offsetBytes: limits.MIB, lengthBytes: 6 * limits.MIB, zero: true },
      { offsetBytes: 7 * limits.MIB, lengthBytes: limits.MIB, zero: false },
    ]);
    target.close();
  });

  it('gives up asking for extents after two seconds, calls the rest data, and goes on reading', async () => {
    const content = patternBytes(limits.MIB);
    const server = await started(
      startNbdkit({ filters: ['delay'], plugin: ['file', 'FOLDER/disk', 'delay-extents=4'], files: { disk: content } }),
    );
    const device = openNbdDevice({ uri: server.uri, role: 'source' });
    const before = performance.now();
    expect(device.extents(0, limits.MIB)).toEqual([{ offsetBytes: 0, lengthBytes: limits.MIB, zero: false }]);
    expect(performance.now() - before).toBeLessThan(3500);
    expect(Buffer.compare(readToEnd(device, 65_536), content)).toBe(0);
    device.close();
  });

  it('speaks TLS with a pre-shared key', async () => {
    const content = patternBytes(3 * limits.MIB + 17);
    const server = await started(
      startNbdkit({
        tcp: true,
        options: ['--tls=require', '--tls-psk=FOLDER/keys'],
        plugin: ['file', 'FOLDER/disk'],
        files: { disk: content, keys: `alice:${'0123456789abcdef'.repeat(4)}\n` },
        uri: (plain, folder) => plain.replace('nbd://', 'nbds://alice@').concat(`?tls-psk-file=${folder}/keys`),
      }),
    );
    const target = openNbdDevice({ uri: server.uri, role: 'target' });
    expect(target.info.identity).toMatch(/^nbds:\/\/127\.0\.0\.1:[0-9]+\/$/);
    expect(Buffer.compare(readToEnd(target, limits.MIB), content)).toBe(0);
    const other = patternBytes(content.byteLength, 9);
    writeAll(target, other, limits.MIB);
    target.flush();
    target.close();
    expect(Buffer.compare(readFileSync(join(server.folder, 'disk')), other)).toBe(0);
  });

  it('works in a worker thread, beside another in the same process', async () => {
    const content = patternBytes(5 * limits.MIB + 3);
    const server = await started(startNbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk: content } }));
    const sums = await Promise.all([0, 1].map(() => sumInWorker(server.uri)));
    const wanted = content.reduce((sum, byte) => sum + byte, 0);
    expect(sums).toEqual([wanted, wanted]);
  });
});

/** Reads an export to its end in a worker thread; the sum of its bytes. */
function sumInWorker(uri: string): Promise<unknown> {
  const worker = new Worker(resolve('dist/test/support/nbd-sum-worker.js'), { workerData: uri });
  return new Promise((done, fail) => {
    worker.once('message', done);
    worker.once('error', fail);
    worker.once('exit', (code) => fail(new Error(`the worker ended with ${code}`)));
  });
}
