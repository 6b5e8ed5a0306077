// Our own decisions: the detection of replays, and the policy of the controller.
import { Judge, windowsOf } from '../detection/mod.ts';
import { RATE_GAP_MS_MAX, type RateSample, Understudies } from '../policy/mod.ts';
import { type Policy, serviceOf } from '../replay/mod.ts';
import type { HostModel, Scaler, Second } from './contract.ts';

/** The controller looks at a service so often. */
const LOOK_SECONDS = 5;

/** What a policy may have signals of, as columns of a recording. */
export const signalsOf: Readonly<Record<string, (seen: Second) => number>> = {
  latency: ({ latencyMilliseconds }) => latencyMilliseconds,
  utilization: ({ utilization }) => utilization,
  queue: ({ queue }) => queue,
  rate: ({ rate }) => rate,
};

/** @param policy its signals are among those of `signalsOf` */
export function ownScaler(policy: Policy, { drainSeconds }: Pick<HostModel, 'drainSeconds'>): Scaler {
  const judge = new Judge(policy.signals, 1, 'recorded');
  const columns = policy.signals.map(({ name }) => signalsOf[name]);
  const windows = judge.signals[0]?.windows ?? windowsOf(null, 1);
  const service = serviceOf(policy, { ...windows, intervalSeconds: 1 });
  const understudies = new Understudies(service, { ...policy, drainSeconds });
  const historyMs = service.scaleIn.windowSeconds * 1000 + RATE_GAP_MS_MAX;
  const rates: RateSample[] = [];
  return {
    name: 'understudy',
    copies: true,
    step(seen) {
      const nowMs = seen.second * 1000;
      judge.add(nowMs, (index) => columns[index]?.(seen) ?? Number.NaN);
      const verdict = judge.conditionAt(nowMs);
      understudies.pass(nowMs, verdict);
      if (seen.second % LOOK_SECONDS !== 0) return 0;
      rates.push({ atMs: nowMs, rate: seen.served, arriving: seen.rate });
      while ((rates[0]?.atMs ?? nowMs) < nowMs - historyMs) rates.shift();
      const outside = judge.outside === null ? null : { host: null, ...judge.outside };
      const { lacksCapacity } = judge;
      const look = { nowMs, verdict, lacksCapacity, rates, rateGapMs: RATE_GAP_MS_MAX, outside };
      const action = understudies.look(look)?.action;
      return action === 'scale-out' ? 1 : action === 'scale-in' ? -1 : 0;
    },
  };
}
