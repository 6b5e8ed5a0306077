// What a policy for recorded signals may say: `understudy replay` and `understudy simulate`.
import * as z from 'zod';
import { durationSeconds } from './fields.ts';

const objective = z
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

const baseline = z.strictObject({
  direction: z.enum(['above', 'below', 'both']).prefault('both').describe('Deviations from what is usual that matter.'),
  learn: z.int().min(50).max(1_000_000).prefault(300).describe('Samples before anything is judged.'),
});

const model = z.strictObject({
  capacity: z.number().gt(0).max(1e9).prefault(100).describe('Requests a second that one host can answer.'),
  serviceTime: durationSeconds('1ms', '1h').prefault('50ms').describe('Of one request on an idle host.'),
  copyCost: z
    .number()
    .min(0)
    .lt(1)
    .prefault(0.1)
    .describe('Share of its capacity that the lead loses while it is copied.'),
  copy: durationSeconds('0s', '24h').prefault('1m').describe('For so long.'),
  drain: durationSeconds('0s', '24h')
    .prefault('30s')
    .describe('From the decision to take a host away until it is off.'),
});

export const policySchema = z.strictObject({
  signals: z
    .array(
      z
        .strictObject({
          name: z.string().min(1).max(200).describe('Column of the recording.'),
          objective: objective.optional().describe('What has to hold.'),
          baseline: baseline
            .optional()
            .describe('Judged by what is usual for it, learned from it alone, with its daily and weekly rhythm.'),
          outside: z
            .boolean()
            .prefault(false)
            .describe(
              'It measures something outside of the hosts (a database, a network): while that is degraded, another host would not help.',
            ),
        })
        .superRefine(({ objective: has, baseline: learns, name }, context) => {
          if (has === undefined && learns === undefined) {
            context.addIssue({
              code: 'custom',
              message: `"${name}" has neither an objective nor a baseline: write baseline: {}`,
            });
          }
        }),
    )
    .min(1)
    .max(100)
    .describe('What is looked at. Any of them breaks the policy.'),
  hosts: z
    .strictObject({ max: z.int().min(1).max(1000).prefault(3).describe('Hosts in any state, the lead included.') })
    .prefault({})
    .describe('Bounds.'),
  timeToCapacity: durationSeconds('0s', '24h').prefault('2m').describe('From the decision until a host takes traffic.'),
  scaleOut: z
    .strictObject({
      cooldown: durationSeconds('0s', '24h').prefault('0s').describe('After any change nothing is added for so long.'),
    })
    .prefault({})
    .describe('Adding hosts.'),
  scaleIn: z
    .strictObject({
      window: durationSeconds('1s', '24h')
        .optional()
        .describe('Every host must have been healthy, and the load low, for so long. Without it: 5m, or 12 intervals.'),
      headroom: z
        .number()
        .gt(0)
        .lt(1)
        .prefault(0.7)
        .describe('Load that one host less may have, as a share of what was carried when the policy was broken.'),
      cooldown: durationSeconds('0s', '24h')
        .prefault('5m')
        .describe('After any change nothing is taken away for so long.'),
      load: z
        .string()
        .min(1)
        .max(200)
        .optional()
        .describe('Column that grows with the load. Without it: the first signal.'),
    })
    .prefault({})
    .describe('Taking hosts away.'),
  model: model.prefault({}).describe('What hosts are like, for `understudy simulate`.'),
});

export type RawPolicy = z.output<typeof policySchema>;
