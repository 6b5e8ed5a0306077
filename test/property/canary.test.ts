// Goal: the properties can fail. Method: variants of the protocol with one deliberate fault each, in ways that a
// mistake in the cores could have it; the simulated world must find every one of them.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { present } from '../../src/base/mod.ts';
import type { Completion, Device, Transfer } from '../../src/replication/device/contract.ts';
import { ConsumerEntry, ENTRY_BYTES, type Entry, type Header, NeedSet, Ring } from '../../src/replication/ring/mod.ts';
import { PROPERTY_MS_MAX } from './check.ts';
import { checkResults } from './results.ts';
import { type Broken, simulate } from './rig.ts';
import { crowds } from './scenario.ts';
import type { RingMaker } from './world.ts';

/** A ring whose rows are seen through `view`. */
function ringWithRows(view: (row: ConsumerEntry) => ConsumerEntry): RingMaker {
  class SeenRing extends Ring {
    override readonly entries: readonly ConsumerEntry[];

    constructor(...args: ConstructorParameters<typeof Ring>) {
      super(...args);
      const { consumersAt } = this.offsets;
      const rows = Array.from({ length: 64 }, (_, index) => index);
      this.entries = rows.map((index) =>
        view(new ConsumerEntry(this.buffer, consumersAt + index * ENTRY_BYTES, index)),
      );
    }
  }
  return (buffer, geometry, signal) => new SeenRing(buffer, geometry, signal);
}

/** The producer takes everybody to be one slot further than he is: it claims one slot too many. */
function oneSlotTooMany(row: ConsumerEntry): ConsumerEntry {
  const honest = row.get.bind(row);
  row.get = (word: keyof typeof Entry) => (word === 'cursor' ? (honest(word) + 1) | 0 : honest(word));
  return row;
}

/** The consumer does not notice that it was detached while it wrote. */
function neverDetached(row: ConsumerEntry): ConsumerEntry {
  Object.defineProperty(row, 'attached', { value: true });
  return row;
}

/** The producer stores its claim only when it publishes, long after it has looked at the consumers. */
class LateClaim extends Ring {
  #claim: number | null = null;

  override get(word: keyof typeof Header): number {
    return word === 'tail' && this.#claim !== null ? this.#claim : super.get(word);
  }

  override set(word: keyof typeof Header, value: number): void {
    if (word === 'tail') this.#claim = value;
    else super.set(word, value);
  }

  override publishHead(head: number): void {
    if (this.#claim !== null) super.set('tail', this.#claim);
    super.publishHead(head);
  }
}

/** The consumer does not look at the claim a second time, neither when it joins nor when it has copied a slot. */
class LooksOnce extends Ring {
  #last: number | null = null;

  override get(word: keyof typeof Header): number {
    if (word !== 'tail') return super.get(word);
    const value = this.#last ?? super.get(word);
    this.#last = this.#last === null ? value : null;
    return value;
  }
}

/** The producer publishes before the block is in its slot. */
class EarlyHead extends Ring {
  override add(word: keyof typeof Header, value: number): void {
    super.add(word, value);
    if (word === 'sweeps') super.set('head', (super.get('head') + 1) | 0);
  }
}

/** The consumer clears its bits before the write is complete: here the target says so too early. */
class HastyDevice implements Device {
  readonly info: Device['info'];
  readonly #inner: Device;
  #early: Completion[] = [];

  constructor(inner: Device) {
    this.info = inner.info;
    this.#inner = inner;
  }

  submit(transfer: Transfer): void {
    this.#inner.submit(transfer);
    this.#early.push({ tag: transfer.tag, bytes: transfer.buffer.byteLength, error: null });
  }

  reap(): readonly Completion[] {
    const early = this.#early;
    this.#early = [];
    return early;
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    this.#inner.zero(offsetBytes, lengthBytes);
  }

  flush(): void {
    this.#inner.flush();
  }

  extents(): null {
    return null;
  }

  fingerprint(): string {
    return this.#inner.fingerprint();
  }

  close(): void {
    this.#inner.close();
  }
}

/** Bits are cleared when the need-set is asked for, and never again. */
class ForgetsToClear extends Ring {
  override needSet(index: number): NeedSet {
    const set = super.needSet(index);
    return Object.assign(new NeedSet(set.words, set.blockCount), { delete: (block: number) => set.has(block) });
  }
}

interface Variant {
  readonly broken: Broken;
}

/**
 * What a broken ring leads to. One defect has several of these as consequences, and which one is met first depends on
 * the scenario; anything else (an exception of the rig, say) is not a finding. That the cores themselves see it is one
 * as well.
 */
const FINDING =
  /which is overwritten|and its target holds other bytes|another digest than that of its target|holds its sequence|counted block \d+ twice|is done without block \d+|no end in time|RING_BROKEN/;
const variants: Readonly<Record<string, Variant>> = {
  'a producer that claims one slot too many': {
    broken: { producerRing: ringWithRows(oneSlotTooMany) },
  },
  'a producer that stores its claim too late': {
    broken: { producerRing: (...args) => new LateClaim(...args) },
  },
  'a producer that publishes too early': {
    broken: { producerRing: (...args) => new EarlyHead(...args) },
  },
  'a consumer that does not notice its detachment': {
    broken: { consumerRing: ringWithRows(neverDetached) },
  },
  'a consumer that looks at the claim only once': {
    broken: { consumerRing: (...args) => new LooksOnce(...args) },
  },
  'a consumer that does not clear its bits': {
    broken: { consumerRing: (...args) => new ForgetsToClear(...args) },
  },
  'a consumer that clears its bits before the write is complete': {
    broken: { targetDevice: (device) => new HastyDevice(device) },
  },
};

describe('the simulated world finds', () => {
  test.each(Object.keys(variants))(
    '%s',
    (name) => {
      const { broken } = present(variants[name], 'a variant');
      const result = fc.check(
        fc.property(crowds, (scenario) => checkResults(scenario, simulate(scenario, broken))),
        { numRuns: 2000, endOnFailure: true, unbiased: true },
      );
      expect(result.failed).toBe(true);
      expect(String(result.errorInstance)).toMatch(FINDING);
    },
    PROPERTY_MS_MAX,
  );
});
