// Goal: no wake-up of the ring is lost. Method: the real ring between one who sleeps and one who wakes; each is
// interrupted by the other before each of its accesses to a shared word. The futex of this test sleeps for ever: only a
// wake-up ends it.
import { describe, expect, test } from 'vitest';
import { Header, offsetsOf, Ring } from '../../src/replication/ring/mod.ts';
import { withEveryAccess } from './shared-access.ts';

const GEOMETRY = { blockBytes: 4096, blockCapacity: 8, slotCount: 4 };
const TIMEOUT_MS = 7;

interface Pair {
  readonly word: 'bell' | 'news';
  /** Looks for something in the ring, and sleeps when it is not there. */
  sleep(ring: Ring): void;
  /** Brings it. */
  wake(ring: Ring): void;
}

const pairs: Readonly<Record<string, Pair>> = {
  'the producer sleeps, a consumer moves on and rings': {
    word: 'bell',
    sleep(ring) {
      const seen = ring.get('bell');
      if (ring.entry(0).get('cursor') === 0) ring.waitBell(seen, TIMEOUT_MS);
    },
    wake(ring) {
      ring.entry(0).set('cursor', 1);
      ring.ringBell();
    },
  },
  'a consumer sleeps, the producer publishes': {
    word: 'news',
    sleep(ring) {
      const seen = ring.get('news');
      if (ring.get('head') === 0) ring.waitNews(seen, TIMEOUT_MS);
    },
    wake: (ring) => ring.publishHead(1),
  },
  'a consumer sleeps, the end of a stream becomes known': {
    word: 'news',
    sleep(ring) {
      const seen = ring.get('news');
      if (ring.get('sizeKnown') === 0) ring.waitNews(seen, TIMEOUT_MS);
    },
    wake(ring) {
      ring.set('sizeKnown', 1);
      ring.wakeConsumers();
    },
  },
};

/** Thrown where a sleeper falls asleep, so that its waker can go on: nothing behind the sleep happens. */
class Asleep extends Error {}

class Scene {
  readonly ring: Ring;
  asleep = false;
  wakes = 0;

  constructor(word: Pair['word'], onSleep: () => void) {
    this.ring = new Ring(new ArrayBuffer(offsetsOf(GEOMETRY).totalBytes), GEOMETRY, {
      wait: (words, index, seen, timeoutMs) => {
        expect([index, timeoutMs]).toEqual([Header[word], TIMEOUT_MS]);
        // futex(2): the comparison and the falling asleep are one.
        if (words[index] !== seen) return;
        this.asleep = true;
        onSleep();
      },
      wakeAll: (_, index) => {
        expect(index).toBe(Header[word]);
        this.wakes += 1;
        this.asleep = false;
      },
    });
  }
}

/** Runs `body`, with `other` before its access number `at`; false when there is no such access. */
function interrupted(body: () => void, at: number, other: () => void): boolean {
  let accesses = 0;
  const before = (): void => {
    accesses += 1;
    if (accesses === at) other();
  };
  withEveryAccess(before, body);
  return accesses >= at;
}

describe.each(Object.entries(pairs))('%s', (_, { word, sleep, wake }) => {
  test('whenever the waker comes while the other looks, falls asleep or sleeps, it is awake in the end', () => {
    let slept = 0;
    for (let at = 1; ; at++) {
      let isWoken = false;
      const wakeOnce = (): void => {
        if (!isWoken) wake(scene.ring);
        isWoken = true;
      };
      const scene: Scene = new Scene(word, () => {
        slept += 1;
        wakeOnce();
      });
      const isAccess = interrupted(() => sleep(scene.ring), at, wakeOnce);
      expect([at, scene.asleep]).toEqual([at, false]);
      if (!isAccess) break;
    }
    expect(slept).toBeGreaterThan(0);
  });

  test('whenever the sleeper comes while the waker acts, it is awake when the waker is through', () => {
    let slept = 0;
    for (let at = 1; ; at++) {
      const scene = new Scene(word, () => {
        slept += 1;
        throw new Asleep();
      });
      const sleeper = (): void => {
        try {
          sleep(scene.ring);
        } catch (error) {
          if (!(error instanceof Asleep)) throw error;
        }
      };
      const isAccess = interrupted(() => wake(scene.ring), at, sleeper);
      expect([at, scene.asleep]).toEqual([at, false]);
      if (!isAccess) break;
    }
    expect(slept).toBeGreaterThan(0);
  });

  test('a wake-up costs a system call only when somebody sleeps', () => {
    const scene = new Scene(word, () => wake(scene.ring));
    wake(scene.ring);
    expect(scene.wakes).toBe(0);
    const another = new Scene(word, () => wake(another.ring));
    sleep(another.ring);
    expect(another.wakes).toBe(1);
    wake(another.ring);
    expect(another.wakes).toBe(1);
  });
});

test('two consumers that sleep are both waited for, and the first to wake does not hide the other', () => {
  let depth = 0;
  const scene: Scene = new Scene('news', () => {
    depth += 1;
    // The second falls asleep while the first sleeps, and wakes before it.
    if (depth === 1) scene.ring.waitNews(0, TIMEOUT_MS);
    else return;
    scene.ring.publishHead(1);
  });
  scene.ring.waitNews(0, TIMEOUT_MS);
  expect([depth, scene.wakes]).toEqual([2, 1]);
});
