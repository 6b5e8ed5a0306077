// An image as it is once a plan is applied, without writing one.
import type { Plan } from '../../src/identity/mod.ts';
import { type NodeTree, PlannedTree } from '../../src/identity/tree/mod.ts';

const COPY_BYTES_MAX = 1_000_000;

export async function afterPlan(image: NodeTree, plan: Plan): Promise<PlannedTree> {
  const after = new PlannedTree(image);
  for (const rename of plan.renames ?? []) after.rename(rename);
  for (const { path, kind, after: text, mode, copyOf } of plan.changes) {
    if (copyOf !== undefined)
      after.plan(path, { kind: 'file', bytes: await image.bytes(copyOf, COPY_BYTES_MAX), mode });
    else if (kind === 'folder') after.plan(path, { kind: 'emptied' });
    else if (text === null) after.plan(path, { kind: 'gone' });
    else if (kind === 'link') after.plan(path, { kind, target: text });
    else after.plan(path, { kind, bytes: Buffer.from(text), mode });
  }
  return after;
}
