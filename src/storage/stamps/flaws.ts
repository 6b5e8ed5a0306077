// What a stamp, a header and the floor have to look like. One with anything else in it is not used.
import * as z from 'zod';
import { backupSchema, contentSchema, flawBy } from '../record-flaw.ts';

const count = z.int().min(0);
const name = z.string().min(1).max(200);
const state = z.strictObject({ content: contentSchema, attachedTo: name.nullable(), generation: count });
const disk = { format: z.literal(1), volume: name, path: z.string().min(1), disk: name, epoch: count };

const stamp = z.strictObject({
  ...disk,
  engagement: name.nullable(),
  from: state,
  to: state,
  writtenAt: z.string(),
});
const header = z.strictObject({ ...disk, backup: backupSchema });
const floor = z.strictObject({ format: z.literal(1), epoch: count, sequence: count, unsettled: z.string().nullable() });

export const stampFlaw = flawBy(stamp);
export const headerFlaw = flawBy(header);
export const floorFlaw = flawBy(floor);
