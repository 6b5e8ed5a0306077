// The shapes of what a reader answers. What is missing or of another kind is not an answer.
import { z } from 'zod';
import { UnderstudyError } from '../../base/mod.ts';
import type { HostIdentity, Inspection, Plan, Transplant, Verification } from '../contract.ts';

const text = z.string();
const texts = z.array(text);
const action = z.enum(['rewrite', 'regenerate', 'disable', 'keep', 'unknown']);
const confidence = z.enum(['certain', 'likely', 'guess']);
const finding = z.object({ rule: text, path: text, value: text, why: text, action, confidence });
const omission = z.object({ path: text, why: text, files: z.int().min(0).optional(), isIntended: z.boolean() });
const coverage = z.object({
  ...{ files: z.int().min(0), filesRead: z.int().min(0), bytesRead: z.int().min(0), filesExplained: z.int().min(0) },
  ...{ notSearched: z.array(omission), isComplete: z.boolean() },
});
const start = z.object({
  ...{ way: text, name: text, path: text, line: z.int().nullable(), programs: texts, knownBy: text.nullable() },
});
const inspection = z.object({
  os: z.object({ id: text, version: text, arch: text }),
  findings: z.array(finding),
  starts: z.array(start),
  coverage: coverage.optional(),
});
const card = z.object({ name: text, mac: text, addresses: texts, gateway: text.optional() });
const agent = z.object({ host: text, controller: text, token: text });
const host = z.object({
  hostName: text,
  domain: text.optional(),
  interfaces: z.array(card),
  agent: agent.optional(),
});
const change = z.object({
  path: text,
  rule: text,
  kind: z.enum(['file', 'link', 'folder']),
  before: text.nullable(),
  beforeDigest: text.nullable(),
  copyOf: text.optional(),
  after: text.nullable(),
  secret: z.boolean(),
  fresh: z.boolean(),
  mode: z.int().min(0).max(0o7777).nullable(),
});
const environment = z.record(text, text);
const command = z.object({ rule: text, path: text, before: texts, command: texts.min(1), environment });
const rename = z.object({ rule: text, from: text, to: text });
const plan = z.object({
  fingerprint: text,
  changes: z.array(change),
  findings: z.array(finding),
  unknown: z.array(finding),
  coverage: coverage.optional(),
  grow: z.boolean().optional(),
  renames: z.array(rename).optional(),
  startsFrom: host.optional(),
  commands: z.array(command).optional(),
  proof: z.object({ sshHostKeys: texts, machineId: text }),
});
const verification = z.object({ verified: z.boolean(), problems: texts });
const count = z.int().min(0);
const transplant = z.object({
  ...{ files: count, folders: count, bytes: count, written: count, removed: count, skipped: texts },
  ...{ findings: z.array(finding), applied: z.boolean() },
});

export const inspectionIn = (answer: unknown): Inspection => shaped(inspection, answer);
export const hostIn = (answer: unknown): HostIdentity => shaped(host, answer) as HostIdentity;
export const planIn = (answer: unknown): Plan => shaped(plan, answer) as Plan;
export const verificationIn = (answer: unknown): Verification => shaped(verification, answer);
export const transplantIn = (answer: unknown): Transplant => shaped(transplant, answer);

/** @throws IDENTITY_FAILED */
function shaped<T>(schema: z.ZodType<T>, answer: unknown): T {
  const { data, error } = schema.safeParse(answer);
  if (data !== undefined) return data;
  const where = error?.issues[0]?.path.join('.') ?? '';
  throw new UnderstudyError(
    'IDENTITY_FAILED',
    `the process that reads the image gave an answer without sense at ${where}`,
  );
}
