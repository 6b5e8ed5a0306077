// Reports of agents as src/agent/protocol.ts has them, checked: a host that has been taken over must not fill the store.
import * as z from 'zod';
import { CHANGES_MAX, EVIDENCE_MAX, type Instruction, type Report, SIGNAL_NAME, SIGNALS_MAX } from '../agent/mod.ts';
import type { Mutable } from './answers.ts';

const count = z.int().min(0);
const time = z.iso.datetime();
const verdict = z.enum(['healthy', 'degraded', 'failing', 'unknown']);

const fact = z.object({
  text: z.string().max(500),
  values: limited(z.record(z.string().max(100), z.union([z.number(), z.string().max(200), z.null()])), 32),
});
const evidence = z.array(fact).max(EVIDENCE_MAX);

/** A record of so many entries. */
function limited<T extends z.ZodRecord>(record: T, entriesMax: number): T {
  return record.refine((value) => Object.keys(value).length <= entriesMax, { error: `at most ${entriesMax} entries` });
}

export const report = z
  .object({
    boot: z.string().regex(/^[0-9a-f]{32}$/),
    sequence: z.int().min(1),
    sentAt: time,
    host: z.string().max(63),
    verdict,
    since: time,
    ageMs: z.number().min(0),
    evidence,
    score: z.number().min(0),
    lacksCapacity: z.boolean(),
    outside: fact.nullable(),
    signals: limited(
      z.record(
        z.string().regex(SIGNAL_NAME).max(100),
        z.object({
          value: z.number().nullable(),
          unit: z.enum(['ms', '%', 'B/s', '/s', '1']),
          error: z.string().max(200).exactOptional(),
          max: z.number().exactOptional(),
          mean: z.number().exactOptional(),
          samples: count,
        }),
      ),
      SIGNALS_MAX,
    ),
    changes: z
      .array(z.object({ number: z.int().min(1), at: time, ageMs: z.number().min(0), verdict, evidence }))
      .max(CHANGES_MAX),
    dropped: count,
  })
  .meta({ id: 'Report' }) satisfies z.ZodType<Mutable<Report>>;

export const instruction = z
  .object({
    signals: z.array(
      z.object({
        name: z.string(),
        objective: z
          .object({
            below: z.number(),
            fastSeconds: z.number().nullable(),
            slowSeconds: z.number().nullable(),
            share: z.number(),
          })
          .nullable(),
        baseline: z.object({ direction: z.enum(['above', 'below', 'both']), learnSamples: z.number() }).nullable(),
        outside: z.boolean(),
      }),
    ),
    probe: z.object({ url: z.string(), contains: z.string().nullable(), timeoutMs: z.number() }).nullable(),
    reportSeconds: z.number(),
  })
  .meta({ id: 'Instruction' }) satisfies z.ZodType<Mutable<Instruction>>;
