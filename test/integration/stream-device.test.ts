// The stream device against the contract of all devices: a decompressor that can be run again, and a pipe that cannot.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { assert } from '../../src/base/mod.ts';
import { createPipe } from '../../src/linux/mod.ts';
import type { Device } from '../../src/replication/device/contract.ts';
import { openStreamDevice } from '../../src/replication/device/stream.ts';
import { openPrepared, type SourceDescriptor } from '../../src/replication/source/mod.ts';
import { type DeviceStorage, describeDevice } from '../conformance/device.ts';
import { compiled } from '../support/source-client.ts';

const START_MS_MAX = 20_000;

/** The suite reads on this thread, blocking; so the host of the decompressor lives in another. */
class CompressedStorage implements DeviceStorage {
  readonly #folder = mkdtempSync(join(tmpdir(), 'understudy-test-'));
  readonly #path = join(this.#folder, 'image');
  readonly #content: Uint8Array;
  readonly #hosts: Worker[] = [];

  constructor(tool: string, content: Uint8Array) {
    this.#content = content;
    writeFileSync(this.#path, execFileSync(tool, ['-c'], { input: content, maxBuffer: 64 * 1024 * 1024 }));
  }

  open(): Device {
    const { port1, port2 } = new MessageChannel();
    const ready = new SharedArrayBuffer(4);
    const host = new Worker(compiled('stream-host'), {
      workerData: { path: this.#path, port: port2, ready },
      transferList: [port2],
      // The host's pipes are not of Node.js' making; in a main thread nobody counts descriptors.
      trackUnmanagedFds: false,
      execArgv: [],
    });
    this.#hosts.push(host);
    Atomics.wait(new Int32Array(ready), 0, 0, START_MS_MAX);
    const message = receiveMessageOnPort(port1);
    assert(message !== undefined, 'the host answers in time');
    port1.close();
    return openPrepared(message.message as SourceDescriptor);
  }

  content(): Uint8Array {
    return this.#content;
  }

  async dispose(): Promise<void> {
    for (const host of this.#hosts) {
      const over = once(host, 'exit');
      host.postMessage('close');
      await over;
    }
    rmSync(this.#folder, { recursive: true });
  }
}

/** A pipe that cat writes into. */
class PipeStorage implements DeviceStorage {
  readonly #folder = mkdtempSync(join(tmpdir(), 'understudy-test-'));
  readonly #content: Uint8Array;
  readonly #children: ChildProcess[] = [];
  readonly #fds: number[] = [];

  constructor(content: Uint8Array) {
    this.#content = content;
    writeFileSync(join(this.#folder, 'image'), content);
  }

  open(): Device {
    const { readFd, writeFd } = createPipe();
    this.#children.push(spawn('cat', [join(this.#folder, 'image')], { stdio: ['ignore', writeFd, 'ignore'] }));
    closeSync(writeFd);
    this.#fds.push(readFd);
    const from = { fd: readFd, first: new Uint8Array(0) };
    return openStreamDevice({ uri: '-', identity: 'stdin:0:1', sizeBytes: null, from, fingerprintFd: null });
  }

  content(): Uint8Array {
    return this.#content;
  }

  async dispose(): Promise<void> {
    for (const fd of this.#fds) closeSync(fd);
    for (const child of this.#children) {
      // Its reader has gone: it has ended, or ends by SIGPIPE.
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    rmSync(this.#folder, { recursive: true });
  }
}

const options = { sourceOnly: true, sequential: 'rewind' } as const;
describeDevice('stream from gzip, size unknown', { create: (bytes) => new CompressedStorage('gzip', bytes) }, options);
describeDevice('stream from xz, size promised', { create: (bytes) => new CompressedStorage('xz', bytes) }, options);
describeDevice(
  'stream from a pipe',
  { create: (bytes) => new PipeStorage(bytes) },
  { sourceOnly: true, sequential: 'once' },
);
