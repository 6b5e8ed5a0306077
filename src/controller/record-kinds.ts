// What each kind of record has to look like, for this version of the program. A record with anything else in it is not
// used: whoever wrote it may have meant something by it that this version does not know.
import * as z from 'zod';
import { storageRecordFlaw } from '../storage/mod.ts';
import { epochFlaw } from '../store/mod.ts';
import type { AuditEntry, EventView } from './contract.ts';
import { type Engagement, type Hold, isUp, keys, type PendingPlan, phases } from './record.ts';

/** What is wrong with a value, one line; null: nothing. */
export type Flaw = (key: string, value: unknown) => string | null;

/** The largest time that a Date can have, milliseconds. */
const TIME_MS_MAX = 8.64e15;

const phase = z.enum(phases);
const time = z.number().min(0).max(TIME_MS_MAX);
const count = z.int().min(0);
const name = z.string().min(1).max(200);
/** As long as a record may be. */
const text = z.string();
const date = z.iso.datetime();
const failure = z.strictObject({ code: name, message: text, phase, at: time });
const verdict = z.enum(['healthy', 'degraded', 'failing', 'unknown']);

export const engagementSchema = z.strictObject({
  name,
  sequence: count,
  epoch: count,
  service: name,
  lead: name,
  understudy: name,
  origin: z.enum(['automatic', 'manual']),
  goal: z.enum(['serve', 'release']),
  reason: text,
  phase,
  ended: z.boolean(),
  left: z.array(phase).optional(),
  forced: z.boolean().optional(),
  createdAt: time,
  stages: z.array(z.strictObject({ phase, startedAt: time, endedAt: time.nullable() })),
  /** Of earlier versions, which counted here. */
  attempts: count.optional(),
  reboots: count,
  failure: failure.nullable(),
  hold: failure.nullable(),
  failed: z.boolean(),
  takenAt: date.nullable(),
  proof: z.looseObject({ sshHostKeys: z.array(text), machineId: text }).nullable(),
  admittedAt: time.nullable(),
  breach: z.strictObject({ rate: z.number().nullable(), hosts: count }).nullable(),
  acknowledgedAt: time.optional(),
});

const holdSchema = z.strictObject({
  kind: z.enum(['pause', 'dismissal', 'maintenance']),
  name,
  hosts: z.array(name),
  by: z.string().nullable(),
  sinceMs: time,
  untilMs: time.nullable(),
});

const planSchema = z.strictObject({
  id: name,
  service: name,
  action: z.enum(['scale-out', 'scale-in']),
  subject: name,
  reason: text,
  at: time,
});

const trySchema = z.strictObject({ step: name, begun: count, lost: count, open: z.boolean(), atMs: time });

const decisionSchema = z.object({
  at: date,
  service: name,
  action: z.enum(['scale-out', 'scale-in', 'undo', 'none']),
  outcome: z.enum(['started', 'proposed', 'advised', 'refused', 'none']),
  verdict,
  reason: text,
  evidence: z.array(
    z.object({
      host: z.string().nullable(),
      text,
      values: z.record(z.string(), z.union([z.number(), z.string(), z.null()])),
    }),
  ),
  engagement: z.string().nullable(),
  repeated: count,
  lastAt: date,
});

/**
 * Kinds of events whose data are of no certain form. The compiler misses one that is added to the contract and not
 * here.
 */
const freeKinds: Readonly<Record<Exclude<EventView['kind'], 'decision' | 'stage' | 'capacity' | 'audit'>, true>> = {
  verdict: true,
  engagement: true,
  plan: true,
  power: true,
  agent: true,
  controller: true,
  hold: true,
  error: true,
};

/** As it is stored, and as the interface shows it. */
export const auditSchema = z.object({
  type: z.enum(['order', 'outcome', 'refusal', 'access']),
  who: z.string().nullable(),
  role: z.enum(['viewer', 'operator', 'agent']).nullable(),
  by: z.string().nullable(),
  from: z.string().nullable(),
  action: z.string(),
  request: z.record(z.string(), z.string()),
  code: z.string().nullable(),
  text: z.string(),
  count: count.min(1),
}) satisfies z.ZodType<AuditEntry>;

const seconds = z.number().min(0);
const base = { at: date, subject: z.string(), text };
const eventSchema = z.discriminatedUnion('kind', [
  z.object({ ...base, kind: z.literal('decision'), data: decisionSchema }),
  z.object({
    ...base,
    kind: z.literal('stage'),
    data: z.object({ engagement: z.string(), service: z.string(), phase, seconds }),
  }),
  z.object({
    ...base,
    kind: z.literal('capacity'),
    data: z.object({ engagement: z.string(), service: z.string(), seconds }),
  }),
  z.object({ ...base, kind: z.literal('audit'), data: auditSchema }),
  z.object({
    ...base,
    kind: z.enum(Object.keys(freeKinds)),
    data: z.record(z.string(), z.unknown()),
  }),
]);

function bySchema(schema: z.ZodType): Flaw {
  return (_, value) => {
    const { success, error } = schema.safeParse(value);
    if (success) return null;
    const issue = error.issues[0];
    const path = issue?.path.join('.') ?? '';
    return `${path === '' ? '' : `${path}: `}${issue?.message ?? 'it is of another kind'}`;
  };
}

/** Whoever changes a record finds it by the name in it. */
function named(schema: z.ZodType, nameOf: (value: unknown) => string): Flaw {
  const flaw = bySchema(schema);
  return (key, value) => {
    const found = flaw(key, value);
    if (found !== null) return found;
    const own = nameOf(value);
    return own === key ? null : `it is of ${own.slice(own.indexOf('/') + 1)}, and stands under another name`;
  };
}

const engagement = named(engagementSchema, (value) => keys.engagement((value as Engagement).name));

/** By the first part of a key. Records of other kinds are none of the controller's. */
const flaws: Readonly<Record<string, Flaw>> = {
  engagement: (key, value) => engagement(key, value) ?? contradiction(value as Engagement),
  plan: named(planSchema, (value) => keys.plan((value as PendingPlan).service)),
  hold: named(holdSchema, (value) => keys.hold((value as Hold).kind, (value as Hold).name)),
  try: bySchema(trySchema),
  event: bySchema(eventSchema),
  decision: bySchema(decisionSchema),
  counter: bySchema(z.int().min(0).max(1e12)),
  learned: bySchema(z.record(z.string(), z.unknown())),
  storage: storageRecordFlaw,
  epoch: (_, value) => epochFlaw(value),
};

/** What no controller writes. */
function contradiction({ lead, understudy, goal, phase: at, ended, admittedAt }: Engagement): string | null {
  if (lead === understudy) return `${lead} cannot be its own understudy`;
  const up = isUp(at);
  if (!up && goal === 'serve') return `it is in ${at}, and is to serve`;
  if (ended && up) return `it has ended in ${at}`;
  return at === 'serving' && admittedAt === null ? 'it serves, and was never admitted' : null;
}

/** Whether it is of a kind that is known here. Others may hold what is not for everybody's eyes. */
export function isOurs(key: string): boolean {
  return Object.hasOwn(flaws, kindOf(key));
}

function kindOf(key: string): string {
  return key.slice(0, key.indexOf('/'));
}

/** What is wrong with a record of the store, whatever its kind. */
export function flawOf(key: string, value: unknown): string | null {
  return isOurs(key) ? (flaws[kindOf(key)]?.(key, value) ?? null) : null;
}
