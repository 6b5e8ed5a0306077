// What the interface answers, as zod schemas: they check what goes out, and the OpenAPI description is made of them.
// Each is held to the controller's own type by the compiler.
import * as z from 'zod';
import { errorRegistry } from '../base/mod.ts';
import type { ConfigChange } from '../config/mod.ts';
import {
  type AuditView,
  auditSchema,
  type ComponentView,
  type DecisionView,
  type DismissalView,
  type EngagementView,
  type EventView,
  type EvidenceView,
  type HoldView,
  type HostView,
  type InspectionView,
  type PlanView,
  type ServiceView,
  type StatusView,
  type UnusableRecordView,
} from '../controller/mod.ts';

/** Read-only lists as zod writes them. */
export type Mutable<T> = T extends readonly (infer E)[]
  ? Mutable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;

/** The same value; nothing writes to it. */
export function answer<T>(view: T): Mutable<T> {
  return view as Mutable<T>;
}

/** What the interface adds to the controller's view. */
export interface StatusAnswer extends StatusView {
  /** What somebody has to see to, one line each: a certificate that expires, what is not encrypted. */
  readonly warnings: readonly string[];
}

type Schema<T> = z.ZodType<Mutable<T>>;

const time = z.iso.datetime().describe('ISO 8601, UTC');
const verdict = z.enum(['healthy', 'degraded', 'failing', 'unknown']);
const power = z.enum(['on', 'off', 'unknown']);
export const phase = z.enum([
  'choose',
  'fence',
  'preserve',
  'replicate',
  'personalise',
  'boot',
  'prove',
  'admit',
  'serving',
  'drain',
  'off',
  'restore',
  'release',
]);
const seconds = z.number().min(0);

const evidence = z.object({
  host: z.string().nullable(),
  text: z.string(),
  values: z.record(z.string(), z.union([z.number(), z.string(), z.null()])),
}) satisfies Schema<EvidenceView>;

export const decision = z
  .object({
    at: time,
    service: z.string(),
    action: z.enum(['scale-out', 'scale-in', 'undo', 'none']),
    outcome: z.enum(['started', 'proposed', 'advised', 'refused', 'none']),
    verdict,
    reason: z.string(),
    evidence: z.array(evidence),
    engagement: z.string().nullable(),
    repeated: z.int().min(0),
    lastAt: time,
  })
  .meta({ id: 'Decision' }) satisfies Schema<DecisionView>;

const plan = z
  .object({
    id: z.string(),
    action: z.enum(['scale-out', 'scale-in']),
    lead: z.string(),
    understudy: z.string(),
    reason: z.string(),
    proposedAt: time,
  })
  .meta({ id: 'Plan' }) satisfies Schema<PlanView>;

export const hold = z
  .object({
    kind: z.enum(['pause', 'dismissal', 'maintenance']),
    name: z.string(),
    by: z.string().nullable(),
    since: time,
    until: time.nullable(),
    text: z.string(),
  })
  .meta({ id: 'Hold' }) satisfies Schema<HoldView>;

const service = z
  .object({
    name: z.string(),
    mode: z.enum(['advise', 'approve', 'automatic']),
    lead: z.string(),
    verdict,
    evidence: z.array(evidence),
    hosts: z.array(z.string()),
    hostsMax: z.int().min(1),
    engagements: z.array(z.string()),
    pendingPlan: plan.nullable(),
    holds: z.array(hold),
    lastDecision: decision.nullable(),
  })
  .meta({ id: 'Service' }) satisfies Schema<ServiceView>;

const host = z
  .object({
    name: z.string(),
    power,
    role: z.enum(['lead', 'understudy', 'spare', 'free']),
    service: z.string().nullable(),
    engagement: z.string().nullable(),
    keptOut: z.string().nullable(),
    holds: z.array(hold),
    agent: z.object({ lastSeenAt: time, verdict }).nullable(),
    volume: z.object({
      name: z.string(),
      content: z.enum(['own', 'unfinished', 'replica', 'unknown']),
      attached: z.boolean(),
      uri: z.string().nullable(),
      problem: z.string().nullable(),
    }),
  })
  .meta({ id: 'Host' }) satisfies Schema<HostView>;

export const engagement = z
  .object({
    name: z.string(),
    service: z.string(),
    lead: z.string(),
    understudy: z.string(),
    origin: z.enum(['operator', 'policy']),
    phase,
    since: time,
    state: z.enum(['running', 'waiting', 'failed', 'done']),
    error: z.object({ code: z.string(), message: z.string(), phase, remedy: z.string() }).nullable(),
    left: z.array(phase),
    stages: z.array(z.object({ phase, seconds })),
    timeToCapacitySeconds: seconds.nullable(),
    acknowledgedAt: time.nullable(),
    progress: z.object({ bytesDone: z.number().min(0), bytesTotal: z.number().min(0) }).nullable(),
    waitsFor: z.string().nullable(),
  })
  .meta({ id: 'Engagement' }) satisfies Schema<EngagementView>;

const component = z
  .object({
    kind: z.enum(['director', 'storage', 'store']),
    name: z.string(),
    driver: z.string(),
    state: z.enum(['ok', 'degraded', 'down', 'unreachable', 'unknown']),
    detail: z.string(),
    since: time.nullable(),
  })
  .meta({ id: 'Component' }) satisfies Schema<ComponentView>;

export const status = z
  .object({
    revision: z.int().min(0),
    controller: z.object({ name: z.string(), epoch: z.int().min(0), since: time }),
    services: z.array(service),
    hosts: z.array(host),
    components: z.array(component),
    unusableRecords: z.array(z.object({ key: z.string(), reason: z.string() })),
    unusableRecordsTotal: z.int().min(0),
    engagements: z.array(engagement),
    engagementsTotal: z.int().min(0),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'Status' }) satisfies Schema<StatusAnswer>;

/** What a reading of understudy.yaml has changed, or would change. */
export interface ReloadView {
  /** Absolute path of the file that was read. */
  readonly file: string;
  /** False: it was only looked at. */
  readonly applied: boolean;
  readonly changes: readonly ConfigChange[];
}

export const reloaded = z
  .object({
    file: z.string().describe('Absolute path of the file that was read'),
    applied: z.boolean().describe('False: it was only looked at'),
    changes: z
      .array(
        z.object({
          path: z.string().describe('Place in the file: "services.wiki.mode"'),
          from: z.string().nullable().describe('As JSON; null: it was not there'),
          to: z.string().nullable().describe('As JSON; null: it is not there any more'),
        }),
      )
      .describe('Without defaults; empty: the file says the same'),
  })
  .meta({ id: 'Reload' }) satisfies Schema<ReloadView>;

export const record = z
  .object({
    key: z.string(),
    revision: z.int(),
    reason: z.string(),
    text: z.string().nullable(),
    sizeBytes: z.number().min(0),
  })
  .meta({ id: 'Record' }) satisfies Schema<UnusableRecordView>;

export const dismissal = z
  .object({
    engagement: z.string(),
    understudy: z.string().nullable(),
    reason: z.string().nullable(),
    does: z.array(z.string()),
    leaves: z.array(z.string()),
  })
  .meta({ id: 'Dismissal' }) satisfies Schema<DismissalView>;

export const inspection = z
  .object({
    os: z.object({ id: z.string(), version: z.string(), arch: z.string() }),
    findings: z.array(
      z.object({
        rule: z.string(),
        path: z.string(),
        value: z.string(),
        why: z.string(),
        action: z.enum(['rewrite', 'regenerate', 'disable', 'keep', 'unknown']),
        confidence: z.enum(['certain', 'likely', 'guess']),
      }),
    ),
    coverage: z
      .object({
        files: z.int().min(0),
        filesRead: z.int().min(0),
        bytesRead: z.int().min(0),
        filesExplained: z.int().min(0),
        notSearched: z.array(
          z.object({ path: z.string(), why: z.string(), files: z.int().min(0).optional(), isIntended: z.boolean() }),
        ),
        isComplete: z.boolean(),
      })
      .optional(),
    starts: z.array(
      z.object({
        way: z.string(),
        name: z.string(),
        path: z.string(),
        line: z.int().nullable(),
        programs: z.array(z.string()),
        knownBy: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'Inspection' }) satisfies Schema<InspectionView>;

export const audit = auditSchema.extend({ at: time }).meta({ id: 'Audit' }) satisfies Schema<AuditView>;

const eventBase = { revision: z.int().min(0), at: time, subject: z.string(), text: z.string() };
const stageData = z.object({ engagement: z.string(), service: z.string(), phase, seconds });
const capacityData = z.object({ engagement: z.string(), service: z.string(), seconds });

export const event = z
  .discriminatedUnion('kind', [
    z.object({ ...eventBase, kind: z.literal('decision'), data: decision }),
    z.object({ ...eventBase, kind: z.literal('stage'), data: stageData }),
    z.object({ ...eventBase, kind: z.literal('capacity'), data: capacityData }),
    z.object({ ...eventBase, kind: z.literal('audit'), data: auditSchema }),
    z.object({
      ...eventBase,
      kind: z.enum(['verdict', 'engagement', 'plan', 'power', 'agent', 'controller', 'hold', 'error']),
      data: z.record(z.string(), z.unknown()),
    }),
  ])
  .meta({ id: 'Event' }) satisfies Schema<EventView>;

/** Codes of docs/errors.md; INTERNAL is a defect of the program. */
export const ERROR_CODES = [...Object.keys(errorRegistry), 'INTERNAL'];

export const failure = z
  .object({ error: z.object({ code: z.enum(ERROR_CODES), message: z.string() }) })
  .meta({ id: 'Failure', description: 'docs/errors.md says what each code means and when to try again.' });
