// Plans of some rules for files in memory: what they change, what is left of it, and what they would change after that.
import { correspond } from '../../src/identity/correspondence.ts';
import { makePlan } from '../../src/identity/plan.ts';
import { builtinRules } from '../../src/identity/rules/mod.ts';
import { fileTree } from '../../src/identity/tree/mod.ts';
import { afterPlan } from './after-plan.ts';
import { type MemoryNode, memoryTree } from './memory-tree.ts';
import { LEAD, SPARE } from './system-image.ts';

export type Files = Readonly<Record<string, MemoryNode>>;
type Plan = Awaited<ReturnType<typeof makePlan>>;
const request = { lead: LEAD, understudy: SPARE };
const makers = { foresee: () => {}, sshHostKey: () => Promise.reject(new Error('no keys here')) };

/** @param names of rules */
export async function planFor(files: Files, names: readonly string[]) {
  const rules = builtinRules.filter(({ name }) => names.includes(name));
  const image = memoryTree(files);
  const plan = await makePlan(image, request, rules, makers);
  const after = await afterPlan(image, plan);
  const problems: string[] = [];
  for (const rule of rules) {
    const context = { ...request, correspondence: correspond(LEAD, SPARE), proof: plan.proof, findings: plan.findings };
    problems.push(...(await rule.verify(fileTree(after), context)));
  }
  return { plan, problems, again: await makePlan(after, request, rules, makers) };
}

/** What a plan makes of a path; undefined: it is as it was. */
export function textAfter(plan: Plan, path: string): string | null | undefined {
  return plan.changes.find((one) => one.path === path)?.after;
}
