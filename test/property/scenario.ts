// What a simulated run is made of: plain data, so that fast-check can print it and make it smaller.
import fc from 'fast-check';
import type { DeviceAccess } from '../../src/replication/device/contract.ts';

export const BLOCK_BYTES = 4096;

export type Fate =
  | { readonly kind: 'lives' }
  /** Leaves at the first step after so many accesses to shared words. */
  | { readonly kind: 'aborts'; readonly atAccess: number }
  /** Dies (SIGKILL) just before that access. */
  | { readonly kind: 'dies'; readonly atAccess: number }
  /** Stands still (SIGSTOP) for so long; null: until nobody else is left. */
  | { readonly kind: 'stops'; readonly atAccess: number; readonly forMs: number | null };

export interface ConsumerPlan {
  /** Joins when so many reads were started; 0 is before the first step of the producer. */
  readonly joinAtRead: number;
  readonly join: 'oldest' | 'newest';
  /** Share of the image that it wants, cut anywhere; null for all, without saying where it ends. */
  readonly endShare: number | null;
  /** Chance of each block to be in its need-set. */
  readonly needShare: number;
  readonly pace: boolean;
  readonly targetReadsZero: boolean;
  readonly onReadError: 'fail' | 'zero';
  readonly limitRate: number | null;
  readonly writesInFlight: number;
  readonly writeMs: number;
  /** The target fails at this block. */
  readonly badBlock: number | null;
  /** It is a disk: its first block is held back to the end, and so is the last one where the image fills it. */
  readonly holdsBack: boolean;
  /** Blocks that turn out not to be on the target after all, when there is nothing to write: they are wanted again. */
  readonly losses: number;
  readonly fate: Fate;
}

export interface SourceFault {
  readonly block: number;
  /** Requests that fail; null: all. */
  readonly times: number | null;
}

export interface Scenario {
  readonly seed: number;
  readonly blockCount: number;
  readonly lastBytes: number;
  readonly slotCount: number;
  /** First sequence of the ring. */
  readonly startSequence: number;
  readonly access: DeviceAccess;
  readonly sizeKnown: boolean;
  /** Where the size is not known: blocks that the tables of the ring have room for beyond the image's. */
  readonly spareBlocks: number;
  readonly readMs: number;
  /** Blocks that the producer goes ahead of the fastest consumer; null: as many as there are slots. */
  readonly readAheadBlocks: number | null;
  /** Chance of each block to be zeros. */
  readonly zeroShare: number;
  readonly consumers: readonly ConsumerPlan[];
  /** Accesses to shared words after which one producer after the other dies; the last one lives. */
  readonly producerDeaths: readonly number[];
  readonly faults: readonly SourceFault[];
  /** A block of the source that changes once everything was read, and so many reads more were started. */
  readonly change: { readonly block: number; readonly afterReads: number } | null;
  /** Accesses to shared words between two preemptions, on average; 0 for steps that nobody interrupts. */
  readonly preemptEvery: number;
  /** Sleeps on words of the ring end by a wake-up only, never by time. @default false */
  readonly wakesOnly?: boolean;
}

export const plainConsumer: ConsumerPlan = {
  joinAtRead: 0,
  join: 'oldest',
  endShare: null,
  needShare: 1,
  pace: false,
  targetReadsZero: false,
  onReadError: 'fail',
  limitRate: null,
  writesInFlight: 2,
  writeMs: 1,
  badBlock: null,
  holdsBack: false,
  losses: 0,
  fate: { kind: 'lives' },
};

export const plainScenario: Scenario = {
  seed: 1,
  blockCount: 20,
  lastBytes: BLOCK_BYTES,
  slotCount: 4,
  startSequence: 0,
  access: 'random',
  sizeKnown: true,
  spareBlocks: 8,
  readMs: 1,
  readAheadBlocks: null,
  zeroShare: 0,
  consumers: [plainConsumer],
  producerDeaths: [],
  faults: [],
  change: null,
  preemptEvery: 0,
};

/** Sequences that start just before the counters wrap, or change their sign, or nowhere special. */
const startSequences = fc.oneof(
  fc.constant(0),
  fc.integer({ min: -40, max: -1 }),
  fc.integer({ min: 0, max: 40 }).map((before) => (2 ** 31 - before) | 0),
);

/** `usual` four times of five. */
function seldom<U, T>(usual: U, other: fc.Arbitrary<T>): fc.Arbitrary<U | T> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
}

const milliseconds = fc.constantFrom(0, 0, 1, 5, 30, 150);

/** Some hundred accesses are a consumer's life. */
const accesses = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 400 }));

const fates: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'lives' as const }) },
  fc.record({ kind: fc.constant('aborts' as const), atAccess: accesses }),
  fc.record({ kind: fc.constant('dies' as const), atAccess: accesses }),
  fc.record({
    kind: fc.constant('stops' as const),
    atAccess: accesses,
    forMs: fc.constantFrom(1, 50, 400, 3000),
  }),
);

export const consumers: fc.Arbitrary<ConsumerPlan> = fc.record({
  joinAtRead: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 30 })),
  join: fc.constantFrom('oldest' as const, 'newest' as const),
  endShare: seldom(null, fc.double({ min: 0, max: 1, noNaN: true })),
  needShare: seldom(1, fc.constantFrom(0.6, 0.1)),
  pace: seldom(false, fc.constant(true)),
  targetReadsZero: fc.boolean(),
  onReadError: fc.constantFrom('fail' as const, 'zero' as const),
  limitRate: seldom(null, fc.constantFrom(BLOCK_BYTES * 5, BLOCK_BYTES * 200)),
  writesInFlight: fc.integer({ min: 1, max: 3 }),
  writeMs: milliseconds,
  badBlock: seldom(null, fc.nat({ max: 40 })),
  holdsBack: fc.boolean(),
  losses: seldom(0, fc.integer({ min: 1, max: 5 })),
  fate: fates,
});

export const scenarios: fc.Arbitrary<Scenario> = fc.constantFrom(4, 4, 8, 16).chain((slotCount) =>
  fc.record({
    seed: fc.nat(),
    // Fewer blocks than slots, as many, and more.
    blockCount: fc.oneof(fc.integer({ min: 1, max: slotCount }), fc.constant(slotCount), {
      weight: 4,
      arbitrary: fc.integer({ min: slotCount + 1, max: 12 + 3 * slotCount }),
    }),
    lastBytes: fc.oneof(fc.constant(BLOCK_BYTES), fc.integer({ min: 1, max: BLOCK_BYTES })),
    slotCount: fc.constant(slotCount),
    startSequence: startSequences,
    access: fc.constant('random' as const),
    sizeKnown: fc.constant(true),
    spareBlocks: fc.constant(8),
    readMs: milliseconds,
    readAheadBlocks: fc.constantFrom(null, null, 1, 2, 4),
    zeroShare: fc.constantFrom(0, 0.3),
    consumers: fc.array(consumers, { minLength: 1, maxLength: 5, size: 'max' }),
    producerDeaths: fc.oneof(
      fc.constant([]),
      fc.array(fc.oneof(fc.nat({ max: 500 }), fc.nat({ max: 5000 })), { minLength: 1, maxLength: 4 }),
    ),
    faults: fc.oneof(
      { weight: 5, arbitrary: fc.constant([]) },
      fc.array(fc.record({ block: fc.nat({ max: 40 }), times: fc.constantFrom(1, 3, 4, 9, null) }), {
        minLength: 1,
        maxLength: 2,
      }),
    ),
    change: fc.constant(null),
    preemptEvery: fc.constantFrom(0, 10, 40, 200),
  }),
);

/** Small rings, fast devices, many joiners and an interruption every few accesses: where races are. */
export const crowds: fc.Arbitrary<Scenario> = fc
  .record({
    scenario: scenarios,
    plans: fc.array(consumers, { minLength: 3, maxLength: 6, size: 'max' }),
    blockCount: fc.integer({ min: 3, max: 40 }),
    preemptEvery: fc.integer({ min: 4, max: 20 }),
    milliseconds: fc.array(fc.constantFrom(0, 0, 0, 1, 60), { minLength: 6, maxLength: 6 }),
  })
  .map(({ scenario, plans, milliseconds, ...rest }) => ({
    ...scenario,
    ...rest,
    slotCount: 4,
    readMs: 0,
    faults: [],
    consumers: plans.map(
      (plan, index): ConsumerPlan => ({ ...plan, limitRate: null, writeMs: milliseconds[index] ?? 0 }),
    ),
  }));
