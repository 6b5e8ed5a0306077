// Guests whose gateway, or the daemon behind it, is killed again and again while they read and write: no request fails,
// and what is on the disk is what was written. A failure prints the seed; the same moments are taken again by
// UNDERSTUDY_GATEWAY_SEED=seed npx vitest run test/fault/nbd-gateways.test.ts
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFailed } from 'vitest';
import { type Random, seededRandom } from '../../src/base/mod.ts';
import { callOf } from '../conformance/storage.ts';
import type { NbdHost } from '../rig/nbd-host.ts';
import { StorageStage } from '../rig/storage-stage.ts';
import { eventually } from '../rig/wait.ts';

const MIB = 1024 * 1024;
const BYTES = 4 * MIB;
const PIECE = 32 * 1024;
const PIECES = BYTES / PIECE;
const KILLS = Number(process.env.UNDERSTUDY_GATEWAY_KILLS ?? 6);
const SEED = Number(process.env.UNDERSTUDY_GATEWAY_SEED ?? Date.now() % 1_000_000);
/** A client looks for its server again after a second, then after two, four and so on. */
const QUIET_MS_MAX = 1500;
const HOSTS = ['web1', 'spare1'];

/** A host that writes pieces of its disk over and over, reads each back, and knows what the disk has to hold. */
class Writer {
  readonly #host: NbdHost;
  readonly #random: Random;
  readonly expected: Buffer;
  readonly #done: Promise<void>;
  #going = true;
  writes = 0;

  constructor(host: NbdHost, before: Buffer, random: Random) {
    this.#host = host;
    this.#random = random;
    this.expected = Buffer.from(before);
    this.#done = this.#run();
    // Told to whoever stops it.
    this.#done.catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (this.#going) {
      const at = this.#random.below(PIECES) * PIECE;
      const byte = 1 + this.#random.below(250);
      await this.#host.write(at, byte, PIECE);
      this.expected.fill(byte, at, at + PIECE);
      const look = this.#random.below(PIECES) * PIECE;
      if (new Set(this.expected.subarray(look, look + PIECE)).size === 1) {
        await this.#host.expectByte(look, this.expected.readUInt8(look), PIECE);
      }
      this.writes += 1;
    }
  }

  /** Rejects when a request failed. */
  stop(): Promise<void> {
    this.#going = false;
    return this.#done;
  }
}

it('gateways - the main daemon and gateways are killed at random moments: no request of a host fails, no byte is wrong', async () => {
  onTestFailed(() => void process.stderr.write(`gateways: UNDERSTUDY_GATEWAY_SEED=${SEED}\n`));
  const random = seededRandom(SEED);
  const stage = await StorageStage.make({
    volumes: HOSTS.map((name) => ({ name, bytes: BYTES })),
    network: { hosts: HOSTS },
  });
  try {
    const writers = [];
    const gateways = [];
    for (const [index, name] of HOSTS.entries()) {
      const { uri } = await stage.node.attach(name, name, callOf());
      gateways.push(stage.gatewayOf(uri));
      writers.push(new Writer(stage.host(uri, name), stage.content(name), seededRandom(SEED + 1 + index)));
    }
    // A client that has not connected yet has no server to wait for.
    for (const writer of writers) await eventually('a first write', () => writer.writes > 0);
    const victims = ['daemon', 'node', ...gateways];
    for (let kill = 0; kill < KILLS; kill += 1) {
      await delay(random.next() * QUIET_MS_MAX);
      const victim = victims[random.below(victims.length)] ?? 'daemon';
      if (victim === 'node') {
        await stage.process.kill();
        await stage.start();
      } else if (stage.daemons.has(victim)) await stage.killDaemon(victim);
    }
    for (const writer of writers) await writer.stop();
    for (const [index, name] of HOSTS.entries()) {
      expect(writers[index]?.writes).toBeGreaterThan(0);
      expect(stage.content(name).equals(writers[index]?.expected ?? Buffer.alloc(0))).toBe(true);
    }
  } finally {
    await stage.close();
  }
});
