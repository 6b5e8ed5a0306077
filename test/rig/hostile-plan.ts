// What a hostile server will do, from a seed: every kind of mischief in turn, with others beside it.
import { seededRandom } from '../../src/base/mod.ts';
import { type HostilePlan, MISCHIEFS, type Mischief, type MischiefKind } from '../support/hostile-web.ts';

export const FORMATS = ['raw', 'xz', 'gzip', 'qcow2'] as const;

export interface Round {
  readonly plan: HostilePlan;
  readonly format: (typeof FORMATS)[number];
  /** The mischief that this round is about. */
  readonly kind: MischiefKind;
  /** Nobody can see from the answers that the bytes are wrong, so the digest of the image has to be given. */
  readonly needsDigest: boolean;
  /** A good client copies all the same. */
  readonly mustSucceed: boolean;
}

/** They say something about ranges, so the server has to give some. */
const ABOUT_RANGES: readonly MischiefKind[] = [
  'other range',
  'other total',
  'other unit',
  'range in part',
  'whole for range',
  'unsatisfiable',
  'no validator',
];

/** After these another try helps. */
const PASSING: readonly MischiefKind[] = [
  'drop',
  'reset',
  'stall',
  'silence',
  'dribble',
  'busy',
  'broken',
  'redirect',
  'garbled chunk',
];

const UNSEEN: readonly MischiefKind[] = ['garbled body', 'swap unseen'];

export function roundOf(seed: number, index: number): Round {
  const random = seededRandom(seed * 7919 + index);
  const pick = <T>(of: readonly T[]): T => of[random.below(of.length)] as T;
  const kind = MISCHIEFS[index % MISCHIEFS.length] as MischiefKind;
  const aboutRanges = ABOUT_RANGES.includes(kind);
  const ranges = aboutRanges ? 'given' : pick(['given', 'given', 'none', 'lied'] as const);
  const validator = aboutRanges
    ? pick(['strong', 'time'] as const)
    : pick(['strong', 'strong', 'weak', 'time', 'none'] as const);
  const proved = ranges === 'given' && (validator === 'strong' || validator === 'time');
  const coded = !aboutRanges && random.below(8) === 0;
  const framing = pick(['length', 'length', 'chunks', 'close'] as const);
  const seldom = !proved && random.below(6) === 0;
  const request = random.below(3);
  // A server that gives the file once ends the copy at the first break: mischief of a later request would never come to be.
  const once = seldom && request === 0;
  const mischief: Mischief[] = [{ kind, request, at: random.next() }];
  for (let before = 0; before < request && (!proved || coded); before++) {
    // The next request of a stream is made when the one before broke.
    mischief.push({ kind: 'drop', request: before, at: 0.3 + random.next() / 2 });
  }
  if (random.below(3) === 0)
    mischief.push({ kind: pick(PASSING), request: request + 1 + random.below(2), at: random.next() });
  const format = pick(['raw', 'raw', ...FORMATS] as const);
  const plan = { ranges, validator, framing, coded, once, mischief };
  return {
    plan,
    format,
    kind,
    needsDigest: mischief.some((one) => UNSEEN.includes(one.kind)),
    mustSucceed: isGood(plan, format),
  };
}

function isGood(plan: HostilePlan, format: Round['format']): boolean {
  const proved = plan.ranges === 'given' && (plan.validator === 'strong' || plan.validator === 'time') && !plan.coded;
  if (plan.once || (format === 'qcow2' && !proved)) return false;
  return plan.mischief.length <= 3 && plan.mischief.every((one) => PASSING.includes(one.kind));
}
