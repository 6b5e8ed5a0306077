// The NBD server that QEMU and the tools for partitions and file systems read through, with libnbd's own client.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireTool, runTool } from '../../src/base/mod.ts';
import { compiled } from '../support/source-client.ts';

const MIB = 1024 * 1024;
let folder: string;
let defers: (() => unknown)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'own-nbd-'));
  defers = [() => rmSync(folder, { recursive: true })];
});

afterEach(async () => {
  for (const undo of defers.reverse()) await undo();
});

/** A thread of its own: a server that does not let go of its thread must not keep the test. */
async function serve(content: Uint8Array): Promise<string> {
  const socket = join(folder, 's');
  const worker = new Worker(compiled('own-nbd-server'), { workerData: { socket, content }, execArgv: [] });
  defers.push(() => worker.terminate());
  await once(worker, 'message');
  return socket;
}

/** Passes on what a client sends in pieces of so many bytes, each after the one before has arrived. */
async function inPieces(socket: string, pieceBytes: number): Promise<string> {
  const path = join(folder, `p${pieceBytes}`);
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const behind = connect(socket);
    for (const one of [client, behind]) {
      open.add(one);
      one.on('error', () => one.destroy());
    }
    behind.pipe(client);
    void (async () => {
      for await (const bytes of client as AsyncIterable<Buffer>) {
        for (let at = 0; at < bytes.length; at += pieceBytes) {
          behind.write(bytes.subarray(at, at + pieceBytes));
          await delay(1);
        }
      }
      behind.end();
    })().catch(() => behind.destroy());
  });
  server.listen(path);
  await once(server, 'listening');
  defers.push(async () => {
    for (const one of open) one.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return path;
}

test.each([1, 3, 7, 1000])('own NBD server - of a client whose bytes come in pieces of %i', async (pieceBytes) => {
  const content = Buffer.alloc(3 * MIB + 512);
  for (let at = 0; at < content.length; at += 8) content.writeDoubleLE(Math.sin(at), at);
  const path = await inPieces(await serve(content), pieceBytes);
  const out = join(folder, 'out');
  const uri = `nbd+unix:///?socket=${path}`;
  const copied = await runTool(requireTool('nbdcopy', 'libnbd-bin'), [uri, out], { timeoutMs: 20_000 });
  expect(copied).toMatchObject({ status: 0, stderr: '' });
  expect(readFileSync(out).equals(content)).toBe(true);
});

test('own NBD server - goes on for others when a client leaves in the middle of what it says', async () => {
  const content = Buffer.alloc(MIB, 7);
  const socket = await serve(content);
  for (const bytes of [0, 3, 4, 5, 19, 21]) {
    const client = connect(socket);
    await once(client, 'data');
    // The flags of the client, then the start of the option "list".
    client.write(Buffer.from('0000000349484156454f50540000000300000000', 'hex').subarray(0, bytes));
    await delay(20);
    client.destroy();
  }
  const info = await runTool(requireTool('nbdinfo', 'libnbd-bin'), ['--size', `nbd+unix:///?socket=${socket}`], {
    timeoutMs: 20_000,
  });
  expect(info).toMatchObject({ status: 0, stdout: `${MIB}\n` });
});
