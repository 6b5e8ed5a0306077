// What the NBD device makes of servers that refuse, hang, lie, fail and die. The servers are real (nbdkit with its fault
// filters, killed or stopped), except for breaches of the protocol, which no real one commits.
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { codeOf, type ErrorCode, limits, messageOf, present, seededRandom } from '../../src/base/mod.ts';
import type { Completion, Device } from '../../src/replication/device/contract.ts';
import { type NbdDeviceOptions, openNbdDevice } from '../../src/replication/device/nbd.ts';
import { Buffers, blocksOf, drive, patternBytes, readToEnd } from '../conformance/drive.ts';
import { freePort, type NbdServer, RogueServer, startNbdkit } from '../support/nbd-server.ts';

const { MIB } = limits;
const buffers = new Buffers();
const devices: Device[] = [];
const servers: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const device of devices.splice(0)) device.close();
  buffers.release();
  for (const server of servers.splice(0)) await server.stop();
});

async function started<T extends { stop(): Promise<void> }>(server: Promise<T>): Promise<T> {
  const ready = await server;
  servers.push(ready);
  return ready;
}

/** nbdkit with a file, on which one request at a time takes `parameters`. */
function fileServer(content: Uint8Array, filters: readonly string[] = [], parameters: readonly string[] = []) {
  return started(startNbdkit({ filters, plugin: ['file', 'FOLDER/disk', ...parameters], files: { disk: content } }));
}

function open(uri: string, role: 'source' | 'target', options: Partial<NbdDeviceOptions> = {}): Device {
  const device = openNbdDevice({ uri, role, ...options });
  devices.push(device);
  return device;
}

function failureOf(action: () => unknown): { code: ErrorCode | null; message: string; tookMs: number } {
  const before = performance.now();
  try {
    action();
  } catch (error) {
    return { code: codeOf(error), message: messageOf(error), tookMs: performance.now() - before };
  }
  throw new Error('it did not fail');
}

/** Fills the device's depth with transfers of 1 MiB from the start, without reaping. */
function submitAll(device: Device, kind: 'read' | 'write'): number {
  for (const [tag, buffer] of buffers.views(new Array<number>(device.info.depth).fill(MIB)).entries()) {
    device.submit({ kind, tag, offsetBytes: tag * MIB, buffer });
  }
  return device.info.depth;
}

function reapAll(device: Device, count: number): Completion[] {
  const out: Completion[] = [];
  while (out.length < count) {
    const reaped = device.reap(20_000);
    if (reaped.length === 0) throw new Error('no completion');
    out.push(...reaped);
  }
  return out;
}

function codesOf(completions: readonly Completion[]): (ErrorCode | undefined)[] {
  return [...new Set(completions.map(({ error }) => error?.code))];
}

describe('NBD device - connecting', () => {
  it('reports a port where nobody listens as unavailable, in the role that it has', async () => {
    const uri = `nbd://127.0.0.1:${await freePort()}/`;
    const refused = failureOf(() => open(uri, 'source'));
    expect(refused.code).toBe('SOURCE_UNAVAILABLE');
    expect(refused.message).toContain('Connection refused');
    expect(failureOf(() => open(uri, 'target')).code).toBe('TARGET_UNAVAILABLE');
  });

  it('reports a socket that is not there as unavailable', () => {
    expect(failureOf(() => open('nbd+unix:///?socket=/nowhere/socket', 'source')).code).toBe('SOURCE_UNAVAILABLE');
  });

  it('reports an export that the server does not have as not found', async () => {
    const server = await started(
      startNbdkit({ filters: ['exportname'], plugin: ['memory', '1M', 'exportname=a', 'exportname-strict=true'] }),
    );
    const named = server.uri.replace('nbd+unix:///', 'nbd+unix:///b');
    expect(failureOf(() => open(named, 'source')).code).toBe('SOURCE_NOT_FOUND');
    open(server.uri.replace('nbd+unix:///', 'nbd+unix:///a'), 'source');
  });

  it('reports a bad URI as wrong usage', () => {
    expect(failureOf(() => open('nbd://host:port/', 'source')).code).toBe('USAGE');
  });

  it('gives up after its time-out on a server that accepts and says nothing', async () => {
    const server = await started(RogueServer.start('silent'));
    const { code, tookMs } = failureOf(() => open(server.uri, 'source', { connectTimeoutMs: 400 }));
    expect(code).toBe('SOURCE_TIMEOUT');
    expect(tookMs).toBeGreaterThanOrEqual(399);
    expect(tookMs).toBeLessThan(5000);
  });

  it.each(['rubbish', 'huge'])('reports a server that talks %s as unavailable, with the reason', async (mode) => {
    const server = await started(RogueServer.start(mode));
    const { code, message } = failureOf(() => open(server.uri, 'target'));
    expect(code).toBe('TARGET_UNAVAILABLE');
    expect(message).toMatch(mode === 'huge' ? /bytes|size/ : /magic|handshake/);
  });

  it('reports a wrong TLS key, and a server without TLS, as unavailable', async () => {
    const key = `alice:${'0123456789abcdef'.repeat(4)}\n`;
    const server = await started(
      startNbdkit({
        tcp: true,
        options: ['--tls=require', '--tls-psk=FOLDER/keys'],
        plugin: ['memory', '1M'],
        files: { keys: key, wrong: key.replace('0', '1') },
      }),
    );
    const secure = server.uri.replace('nbd:', 'nbds:').replace('//', '//alice@');
    expect(failureOf(() => open(`${secure}?tls-psk-file=${server.folder}/wrong`, 'source')).code).toBe(
      'SOURCE_UNAVAILABLE',
    );
    expect(failureOf(() => open(server.uri, 'source')).code).toBe('SOURCE_UNAVAILABLE');
    const plain = await fileServer(patternBytes(4096));
    const wanted = plain.uri.replace('nbd+unix:', 'nbds+unix:');
    expect(failureOf(() => open(wanted, 'source')).code).toBe('SOURCE_UNAVAILABLE');
  });
});

describe('NBD device - failing requests', () => {
  // The class of mistake of CVE-2022-0485: a read that failed must not count as data.
  it('never passes a failed read off as data, with one part in ten failing', async () => {
    const content = patternBytes(32 * MIB);
    const server = await fileServer(content, ['error'], ['error-pread=EIO', 'error-pread-rate=10%']);
    const device = open(server.uri, 'source');
    const ranges = blocksOf(content.byteLength, 4 * MIB);
    const views = buffers.views(ranges.map(() => 4 * MIB));
    let failed = 0;
    for (let pass = 0; pass < 8; pass++) {
      for (const view of views) view.fill(0xee);
      const { completions } = drive(device, 'read', ranges, views);
      for (const { tag, bytes, error } of completions) {
        if (error !== null) {
          expect([error.code, bytes]).toEqual(['SOURCE_READ_FAILED', 0]);
          failed += 1;
          continue;
        }
        const wanted = content.subarray(tag * 4 * MIB, (tag + 1) * 4 * MIB);
        expect(Buffer.compare(present(views[tag], 'view'), wanted)).toBe(0);
      }
    }
    expect(failed).toBeGreaterThan(0);
    expect(failed).toBeLessThan(64);
  });

  it.each([
    ['EPERM', 'TARGET_READ_ONLY'],
    ['ENOSPC', 'TARGET_FULL'],
    ['ENOMEM', 'TARGET_WRITE_FAILED'],
  ])('reports %s of a write and of zeroing as %s, and goes on', async (errno, code) => {
    const parameters = [`error=${errno}`, 'error-rate=100%', 'error-file=FOLDER/fail', 'error-pread-rate=0'];
    const server = await started(
      startNbdkit({
        filters: ['error'],
        plugin: ['file', 'FOLDER/disk', ...parameters],
        files: { disk: patternBytes(8 * MIB), fail: '' },
      }),
    );
    const device = open(server.uri, 'target');
    const views = buffers.views([4 * MIB]);
    const { completions } = drive(device, 'write', [{ offsetBytes: 0, lengthBytes: 4 * MIB }], views);
    expect(codesOf(completions)).toEqual([code]);
    expect(failureOf(() => device.zero(0, MIB)).code).toBe(code);
    device.flush();
  });

  it('refuses a write beyond the end, without asking the server', async () => {
    const device = open((await fileServer(patternBytes(MIB))).uri, 'target');
    const views = buffers.views([4096]);
    const { completions } = drive(device, 'write', [{ offsetBytes: MIB - 2048, lengthBytes: 4096 }], views);
    expect(codesOf(completions)).toEqual(['TARGET_TOO_SMALL']);
  });

  it('waits for a slow server as long as it does not fall silent', async () => {
    const content = patternBytes(8 * MIB);
    const server = await fileServer(content, ['delay'], ['delay-read=400ms']);
    const device = open(server.uri, 'source', { ioTimeoutMs: 5000 });
    expect(Buffer.compare(readToEnd(device, 4 * MIB), content)).toBe(0);
  });
});

/** Sends one letter to nbdkit's pause filter and waits for its answer. */
function pauseControl(socketPath: string, letter: 'p' | 'r'): Promise<void> {
  return new Promise((done, fail) => {
    const socket = connect(socketPath, () => socket.write(letter));
    socket.once('error', fail);
    socket.once('data', (answer) => {
      socket.end();
      if (answer.toString() === letter.toUpperCase()) done();
      else fail(new Error(`the pause filter said ${answer}`));
    });
  });
}

describe('NBD device - silent servers', () => {
  it('fails the reads of a paused server after its time-out, and reads again when it has resumed', async () => {
    const content = patternBytes(8 * MIB);
    // One thread a connection: with more, nbdkit 1.32 aborts now and then when a client has gone and several answers are on
    // their way, which is what resuming means here.
    const server = await started(
      startNbdkit({
        filters: ['pause'],
        options: ['--threads=1'],
        plugin: ['file', 'FOLDER/disk', 'pause-control=FOLDER/control'],
        files: { disk: content },
      }),
    );
    const device = open(server.uri, 'source', { ioTimeoutMs: 500 });
    await pauseControl(join(server.folder, 'control'), 'p');
    const count = submitAll(device, 'read');
    expect(device.reap(100)).toEqual([]);
    const before = performance.now();
    expect(codesOf(reapAll(device, count))).toEqual(['SOURCE_TIMEOUT']);
    expect(performance.now() - before).toBeLessThan(5000);
    await pauseControl(join(server.folder, 'control'), 'r');
    expect(Buffer.compare(readToEnd(device, MIB), content)).toBe(0);
  });

  it.each(['write', 'flush', 'zero'] as const)(
    'fails a %s that a stopped server leaves open, for good',
    async (kind) => {
      const server = await fileServer(patternBytes(8 * MIB));
      const device = open(server.uri, 'target', { ioTimeoutMs: kind === 'flush' ? 50 : 500 });
      await server.freeze();
      if (kind === 'write') expect(codesOf(reapAll(device, submitAll(device, 'write')))).toEqual(['TARGET_TIMEOUT']);
      else {
        const action = kind === 'flush' ? () => device.flush() : () => device.zero(0, MIB);
        expect(failureOf(action).code).toBe('TARGET_TIMEOUT');
      }
      server.signal('SIGCONT');
      // What the server did with the earlier requests nobody knows, so this device is over, and says so at once.
      expect(codesOf(reapAll(device, submitAll(device, 'write')))).toEqual(['TARGET_TIMEOUT']);
      expect(failureOf(() => device.flush()).code).toBe('TARGET_TIMEOUT');
      device.close();
    },
  );

  it('gives up on a server that is mute after the handshake', async () => {
    const server = await started(RogueServer.start('mute'));
    const device = open(server.uri, 'source', { ioTimeoutMs: 300 });
    expect(codesOf(reapAll(device, submitAll(device, 'read')))).toEqual(['SOURCE_TIMEOUT']);
  });
});

describe('NBD device - servers that die', () => {
  it('fails everything in flight when the server of a target is killed, and closes', async () => {
    const server = await fileServer(patternBytes(16 * MIB), ['delay'], ['delay-write=60']);
    const device = open(server.uri, 'target');
    const count = submitAll(device, 'write');
    expect(device.reap(0)).toEqual([]);
    await server.kill();
    expect(codesOf(reapAll(device, count))).toEqual(['TARGET_UNAVAILABLE']);
    expect(failureOf(() => device.flush()).code).toBe('TARGET_UNAVAILABLE');
    expect(failureOf(() => device.zero(0, MIB)).code).toBe('TARGET_UNAVAILABLE');
    expect(codesOf(reapAll(device, submitAll(device, 'write')))).toEqual(['TARGET_UNAVAILABLE']);
    device.close();
    device.close();
  });

  it('fails a target whose server died while nothing was in flight', async () => {
    const server = await fileServer(patternBytes(MIB));
    const device = open(server.uri, 'target');
    await server.kill();
    expect(failureOf(() => device.flush()).code).toBe('TARGET_UNAVAILABLE');
  });

  it('copies on from a source whose server is killed and started again, many times', async () => {
    const content = patternBytes(20 * MIB + 4321);
    const server = await fileServer(content);
    const device = open(server.uri, 'source');
    const random = seededRandom(11);
    const ranges = blocksOf(content.byteLength, MIB);
    const views = buffers.views(ranges.map(() => MIB));
    const pending = new Set<number>();
    let next = 0;
    while (next < ranges.length || pending.size > 0) {
      for (; next < ranges.length && pending.size < device.info.depth; next++) {
        pending.add(next);
        device.submit({ kind: 'read', tag: next, offsetBytes: next * MIB, buffer: present(views[next], 'view') });
      }
      if (random.below(3) === 0) {
        await server.kill();
        await server.run();
      }
      for (const { tag, bytes, error } of device.reap(20_000)) {
        expect([error, bytes]).toEqual([null, present(ranges[tag], 'range').lengthBytes]);
        expect(pending.delete(tag)).toBe(true);
      }
    }
    for (const [index, range] of ranges.entries()) {
      const got = present(views[index], 'view').subarray(0, range.lengthBytes);
      const wanted = content.subarray(range.offsetBytes, range.offsetBytes + range.lengthBytes);
      expect(Buffer.compare(got, wanted)).toBe(0);
    }
  });

  it('waits for a lost source in bounded steps and no longer than allowed, and tries again when asked again', async () => {
    const content = patternBytes(8 * MIB);
    const server = await fileServer(content);
    const device = open(server.uri, 'source', { reconnectTimeoutMs: 600 });
    await server.kill();
    const count = submitAll(device, 'read');
    const before = performance.now();
    expect(device.reap(20)).toEqual([]);
    expect(performance.now() - before).toBeLessThan(500);
    expect(codesOf(reapAll(device, count))).toEqual(['SOURCE_UNAVAILABLE']);
    expect(performance.now() - before).toBeLessThan(5000);
    await server.run();
    expect(Buffer.compare(readToEnd(device, MIB), content)).toBe(0);
  });

  it('reads on when a connection dies in the middle of a reply', async () => {
    const server = await started(RogueServer.start('die-once'));
    const device = open(server.uri, 'source');
    const completions = reapAll(device, submitAll(device, 'read'));
    expect(codesOf(completions)).toEqual([undefined]);
    expect(readToEnd(device, MIB).every((byte) => byte === 0x5a)).toBe(true);
  });

  it.each(['die-mid-reply', 'rubbish-reply'])('gives up on a source that does so each time: %s', async (mode) => {
    const server = await started(RogueServer.start(mode));
    const device = open(server.uri, 'source');
    expect(codesOf(reapAll(device, submitAll(device, 'read')))).toEqual(['SOURCE_UNAVAILABLE']);
  });

  it('gives up on a source that keeps saying that it shuts down', async () => {
    const server = await fileServer(patternBytes(8 * MIB), ['error'], ['error-pread=ESHUTDOWN', 'error-rate=100%']);
    const device = open(server.uri, 'source');
    expect(codesOf(reapAll(device, submitAll(device, 'read')))).toEqual(['SOURCE_UNAVAILABLE']);
  });

  it('calls a source changed that comes back with another size', async () => {
    const server = await started(RogueServer.start('resize'));
    const device = open(server.uri, 'source');
    expect(codesOf(reapAll(device, submitAll(device, 'read')))).toEqual(['SOURCE_CHANGED']);
  });

  it('knows nothing of extents when the server dies while it is asked', async () => {
    const server: NbdServer = await fileServer(new Uint8Array(MIB));
    const device = open(server.uri, 'source', { reconnectTimeoutMs: 100 });
    await server.kill();
    expect(device.extents(0, MIB)).toEqual([{ offsetBytes: 0, lengthBytes: MIB, zero: false }]);
  });
});
