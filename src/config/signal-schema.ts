// What may be asked of a signal: the same in a service of understudy.yaml and in a policy for recorded signals.
import * as z from 'zod';
import type { SignalPolicy } from '../detection/mod.ts';
import { durationSeconds } from './fields.ts';

const SHARE = 0.5;

export const signalObjective = z
  .strictObject({
    below: z.number().describe('Values above it break the objective.'),
    fast: durationSeconds('1s', '1h')
      .optional()
      .describe(
        'Window that shows that it is so now. Without it: 10s, or six intervals of samples that are farther apart.',
      ),
    slow: durationSeconds('1s', '24h')
      .optional()
      .describe('Window that shows that it is no spike. Without it: 60s, or 24 intervals.'),
    share: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe('Of the samples of both windows, for the objective to be broken. Without it: 0.5.'),
    percentile: z
      .number()
      .min(0)
      .lt(100)
      .optional()
      .describe('The same as a percentile that has to be below: 95 is a share of 0.05.'),
  })
  .superRefine(({ share, percentile, fast, slow }, context) => {
    if (share !== undefined && percentile !== undefined) {
      context.addIssue({ code: 'custom', message: '"share" and "percentile" say the same; keep one of them' });
    }
    if (fast !== undefined && slow !== undefined && slow < fast) {
      context.addIssue({ code: 'custom', message: 'the slow window must not be shorter than the fast one' });
    }
  });

export const signalBaseline = z.strictObject({
  direction: z.enum(['above', 'below', 'both']).prefault('both').describe('Deviations from what is usual that matter.'),
  learn: z.int().min(50).max(1_000_000).prefault(300).describe('Samples before anything is judged.'),
});

export const signalOutside = z
  .boolean()
  .prefault(false)
  .describe(
    'It measures something outside of the hosts (a database, a network): while that is degraded, another host would not help.',
  );

/** One of both has to be there. */
export function objectiveOrBaseline(
  { name, objective, baseline }: { name?: string; objective?: unknown; baseline?: unknown },
  context: z.RefinementCtx,
): void {
  if (objective !== undefined || baseline !== undefined) return;
  context.addIssue({
    code: 'custom',
    message: `"${name ?? ''}" has neither an objective nor a baseline: write baseline: {}`,
  });
}

/** As detection takes it. */
export function signalPolicyOf(raw: {
  readonly name: string;
  readonly objective?: z.output<typeof signalObjective> | undefined;
  readonly baseline?: z.output<typeof signalBaseline> | undefined;
  readonly outside: boolean;
}): SignalPolicy {
  const { name, objective, baseline, outside } = raw;
  return {
    name,
    outside,
    objective: objective === undefined ? null : objectiveOf(objective),
    baseline: baseline === undefined ? null : { direction: baseline.direction, learnSamples: baseline.learn },
  };
}

function objectiveOf({ below, fast, slow, share = SHARE, percentile }: z.output<typeof signalObjective>) {
  const part = percentile === undefined ? share : (100 - percentile) / 100;
  return { below, fastSeconds: fast ?? null, slowSeconds: slow ?? null, share: part };
}
