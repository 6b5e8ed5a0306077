// What the node's own records have to look like. One with anything else in it is not used: a volume of which is not
// known what it holds is neither written nor given to anybody.
import * as z from 'zod';

const count = z.int().min(0);
const name = z.string().min(1).max(200);

export const contentSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('own') }),
  z.strictObject({
    kind: z.literal('unfinished'),
    engagement: name,
    step: z.enum(['replicate', 'personalise', 'restore']),
  }),
  z.strictObject({
    kind: z.literal('replica'),
    engagement: name,
    of: name,
    takenAt: z.string(),
    portion: z.literal(true).optional(),
    identityOf: name.nullable(),
  }),
]);

export const backupSchema = z.strictObject({ engagement: name, takenAt: z.string(), bytes: count, digest: z.string() });

const volume = z.strictObject({
  path: z.string().min(1),
  sizeBytes: count,
  generation: count,
  content: contentSchema,
  attachedTo: name.nullable(),
  backups: z.array(backupSchema),
  step: z.strictObject({ kind: z.enum(['backup', 'discard']), engagement: name }).nullable(),
});

const daemon = z.strictObject({ starts: count, shutdowns: count, address: z.string().nullable() });

const gateways = z.record(
  name,
  z.strictObject({ port: z.int().min(1).max(65_535), life: count, certificates: z.string().nullable() }),
);

const SCHEMAS: readonly (readonly [prefix: string, schema: z.ZodType])[] = [
  ['storage/volume/', volume],
  ['storage/daemon/', daemon],
  ['storage/gateways/', gateways],
];

/** What is wrong with a value, one line; null: nothing. */
export function flawBy(schema: z.ZodType | undefined): (value: unknown) => string | null {
  return (value) => {
    const issue = schema?.safeParse(value).error?.issues[0];
    if (issue === undefined) return null;
    const path = issue.path.join('.');
    return `${path === '' ? '' : `${path}: `}${issue.message}`;
  };
}

/** What is wrong with a record of a storage node, one line; null: nothing. */
export function storageRecordFlaw(key: string, value: unknown): string | null {
  return flawBy(SCHEMAS.find(([prefix]) => key.startsWith(prefix))?.[1])(value);
}
