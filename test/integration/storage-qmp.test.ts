// The QMP client against the real qemu-storage-daemon, and against sockets that say anything but QMP, or nothing.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { codeOf, messageOf } from '../../src/base/mod.ts';
import {
  type DaemonPaths,
  daemonLives,
  daemonPaths,
  startDaemon,
  volumesSocket,
} from '../../src/storage/daemon/process.ts';
import { LINE_BYTES_MAX } from '../../src/storage/qmp/message.ts';
import {
  addExport,
  addNode,
  QmpConnection,
  queryExports,
  queryNodes,
  quit,
  refusalOf,
  removeExport,
  removeNode,
  startServer,
  stopServer,
} from '../../src/storage/qmp/mod.ts';
import { eventually } from '../rig/wait.ts';

const PATIENT = { connectTimeoutMs: 20_000, commandTimeoutMs: 20_000 };
const anything = z.unknown();
const plain = async () => ({ args: [] });

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ust-qmp-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe('qmp - the real daemon', () => {
  let paths: DaemonPaths;

  beforeEach(async () => {
    paths = daemonPaths(folder);
    await startDaemon(paths, plain);
  });

  afterEach(async () => {
    const qmp = await open();
    await quit(qmp);
    await eventually('the daemon has ended', () => !daemonLives(paths));
  });

  /** The daemon listens a moment after its start. */
  function open(): Promise<QmpConnection> {
    return eventually('the daemon answers', async () => {
      try {
        return await QmpConnection.open({ path: paths.qmp, ...PATIENT });
      } catch (error) {
        if (codeOf(error) !== 'STORAGE_FAILED') throw error;
        return null;
      }
    });
  }

  test('greets with its version, and answers many commands at once each to its own', async () => {
    const qmp = await open();
    expect(qmp.version).toMatch(/^\d+\.\d+\.\d+$/);
    const commands = ['query-version', 'query-block-exports', 'query-named-block-nodes', 'query-version'];
    const answers = await Promise.all(commands.map((command) => qmp.execute(command, undefined, anything)));
    expect(answers).toMatchObject([{ qemu: {} }, [], [], { qemu: {} }]);
    qmp.close();
  });

  test('a refusal is an answer: its words are told, and the connection goes on', async () => {
    const qmp = await open();
    const refused = await addNode(qmp, { driver: 'file', 'node-name': 'a', filename: `${folder}/none` }).catch(
      (e) => e,
    );
    expect(codeOf(refused)).toBe('STORAGE_FAILED');
    expect(refusalOf(refused)).toContain('No such file or directory');
    expect(await queryNodes(qmp)).toEqual([]);
    qmp.close();
  });

  test('nodes and exports come and go, and an export that is gone has said so', async () => {
    writeFileSync(join(folder, 'disk'), '');
    truncateSync(join(folder, 'disk'), 1024 * 1024);
    const qmp = await open();
    await addNode(qmp, { driver: 'file', 'node-name': 'a', filename: join(folder, 'disk') });
    await startServer(qmp, volumesSocket(folder));
    await startServer(qmp, volumesSocket(folder));
    await addExport(qmp, { id: 'e', node: 'a', name: 'disk', writable: true });
    expect(await queryExports(qmp)).toEqual([{ id: 'e', node: 'a' }]);
    expect((await queryNodes(qmp)).map(({ name, driver }) => [name, driver])).toEqual([['a', 'file']]);
    await removeExport(qmp, 'e');
    // What was not gone would still use the node.
    await removeNode(qmp, 'a');
    await stopServer(qmp);
    await stopServer(qmp);
    expect([await queryExports(qmp), await queryNodes(qmp)]).toEqual([[], []]);
    qmp.close();
  });

  test('the next connection gets its turn when the one before is closed, and finds what that one made', async () => {
    writeFileSync(join(folder, 'disk'), 'x'.repeat(512));
    const first = await open();
    await addNode(first, { driver: 'file', 'node-name': 'kept', filename: join(folder, 'disk') });
    first.close();
    expect(messageOf(await first.closed)).toContain('was closed');
    const second = await open();
    expect((await queryNodes(second)).map(({ name }) => name)).toEqual(['kept']);
    second.close();
  });

  test('only one daemon is started for a folder, however many try at once', async () => {
    expect(
      await Promise.all([startDaemon(paths, plain), startDaemon(paths, plain), startDaemon(paths, plain)]),
    ).toEqual([false, false, false]);
  });

  test('commands under way, and those that come later, fail when the daemon goes away', async () => {
    const qmp = await open();
    await quit(qmp);
    const reason = await qmp.closed;
    expect(codeOf(reason)).toBe('STORAGE_FAILED');
    await expect(queryNodes(qmp)).rejects.toBe(reason);
    await eventually('the daemon has ended', () => !daemonLives(paths));
    await startDaemon(paths, plain);
  });
});

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}';
const EVENT = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "OLD", "data": {"id": "é"}}';

describe('qmp - sockets that are no daemon', () => {
  let server: Server;
  const sockets: Socket[] = [];

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise((closed) => server.close(closed));
  });

  /** `script` is given each line that comes, the empty one first, when somebody has connected. */
  async function serve(script: (line: string, socket: Socket) => void): Promise<string> {
    const path = join(folder, 'socket');
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => socket.destroy());
      socket.on('data', (bytes: Buffer) => {
        for (const line of bytes.toString().split('\n')) if (line !== '') script(line, socket);
      });
      script('', socket);
    });
    await new Promise<void>((listening) => server.listen(path, listening));
    return path;
  }

  function polite(line: string, socket: Socket, answer: (id: number) => string): void {
    if (line === '') socket.write(`${GREETING}\r\n`);
    else if (line.includes('qmp_capabilities')) socket.write(`{"return": {}, "id": ${idOf(line)}}\r\n`);
    else socket.write(answer(idOf(line)));
  }

  function idOf(line: string): number {
    return (JSON.parse(line) as { id: number }).id;
  }

  const openAt = (path: string, timeoutMs = 20_000) =>
    QmpConnection.open({ path, connectTimeoutMs: timeoutMs, commandTimeoutMs: timeoutMs });

  test('nobody listens', async () => {
    await serve(() => {});
    await expect(openAt(join(folder, 'other'))).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  });

  test.each([
    ['text', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['JSON that is no object', '[1, 2]\n'],
    ['a greeting without a version', '{"QMP": {"capabilities": []}}\n'],
    ['an answer to nothing', '{"return": {}, "id": 77}\n'],
    ['a refusal of nothing', '{"error": {"class": "GenericError", "desc": "no"}}\n'],
    ['an answer without an id', '{"return": {}}\n'],
    ['two greetings', `${GREETING}\n${GREETING}\n`],
    ['bytes without end', Buffer.alloc(LINE_BYTES_MAX + 2, 0x20)],
  ])('instead of a greeting: %s', async (_, bytes) => {
    const path = await serve((line, socket) => {
      if (line === '') socket.write(bytes);
    });
    await expect(openAt(path)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  });

  test('silence instead of a greeting ends with the time-out', async () => {
    const path = await serve(() => {});
    await expect(openAt(path, 50)).rejects.toMatchObject({
      message: expect.stringContaining('no QMP greeting within 50 ms'),
    });
  });

  test('a server that hangs up', async () => {
    const path = await serve((_, socket) => socket.end());
    await expect(openAt(path)).rejects.toMatchObject({ message: expect.stringContaining('closed the connection') });
  });

  test('silence instead of an answer ends the connection, because nobody knows what became of the command', async () => {
    const path = await serve((line, socket) => polite(line, socket, () => ''));
    const qmp = await QmpConnection.open({ path, connectTimeoutMs: 20_000, commandTimeoutMs: 50 });
    await expect(qmp.execute('query-jobs', undefined, anything)).rejects.toMatchObject({
      message: expect.stringContaining('query-jobs: no answer from the storage daemon within 50 ms'),
    });
    expect(qmp.isOpen).toBe(false);
  });

  test.each([
    ['to another command', (id: number) => `{"return": {}, "id": ${id + 1}}\n`],
    ['twice', (id: number) => `{"return": [], "id": ${id}}\n{"return": [], "id": ${id}}\n`],
    ['with rubbish', () => '{"return": \n'],
    ['with something of another kind', (id: number) => `{"return": [{"node-name": 3}], "id": ${id}}\n`],
  ])('an answer %s ends the connection', async (_, answer) => {
    const path = await serve((line, socket) => polite(line, socket, answer));
    const qmp = await openAt(path);
    const first = await queryNodes(qmp).catch((error: unknown) => error);
    const reason = await qmp.closed;
    expect(codeOf(reason)).toBe('STORAGE_FAILED');
    if (!Array.isArray(first)) expect(first).toBe(reason);
  });

  test('messages cut anywhere, several at once, and events of earlier days are all one', async () => {
    const path = await serve((line, socket) => {
      if (line === '') socket.write(`${EVENT}\n${GREETING}\n${EVENT}\n`);
      else if (line.includes('qmp_capabilities')) socket.write(`${EVENT}\n{"return": {}, "id": ${idOf(line)}}\n`);
      else {
        const bytes = Buffer.from(`${EVENT}\n\r\n{"id": ${idOf(line)}, "return": "ü"}\n`);
        for (const byte of bytes) socket.write(Buffer.from([byte]));
      }
    });
    const qmp = await openAt(path);
    const expected = qmp.expectEvent('it came', 20_000, (event) => event.data.id === 'é');
    expect(await qmp.execute('anything', {}, z.string())).toBe('ü');
    expect(await expected.event).toMatchObject({ name: 'OLD' });
    qmp.close();
  });

  test('an event that does not come ends with the time-out, and leaves the connection as it is', async () => {
    const path = await serve((line, socket) => polite(line, socket, (id) => `{"return": 1, "id": ${id}}\n`));
    const qmp = await openAt(path);
    const expected = qmp.expectEvent('pigs fly', 20, () => true);
    await expect(expected.event).rejects.toMatchObject({ message: expect.stringContaining('pigs fly') });
    expect(await qmp.execute('anything', undefined, z.number())).toBe(1);
    qmp.close();
  });
});
