// What a policy for recorded signals may say: `understudy replay` and `understudy simulate`.
import * as z from 'zod';
import { durationSeconds } from './fields.ts';
import { scaleOutSchema } from './schema.ts';
import { objectiveOrBaseline, signalBaseline, signalObjective, signalOutside } from './signal-schema.ts';

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
          objective: signalObjective.optional().describe('What has to hold.'),
          baseline: signalBaseline
            .optional()
            .describe('Judged by what is usual for it, learned from it alone, with its daily and weekly rhythm.'),
          outside: signalOutside,
        })
        .superRefine(objectiveOrBaseline),
    )
    .min(1)
    .max(100)
    .describe('What is looked at. Any of them breaks the policy.'),
  hosts: z
    .strictObject({ max: z.int().min(1).max(1000).prefault(3).describe('Hosts in any state, the lead included.') })
    .prefault({})
    .describe('Bounds.'),
  timeToCapacity: durationSeconds('0s', '24h').prefault('2m').describe('From the decision until a host takes traffic.'),
  scaleOut: scaleOutSchema.prefault({}).describe('Adding hosts.'),
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
