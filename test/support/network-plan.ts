// A network configuration in memory, planned for an understudy with every rule that comes with the program.
import { expect } from 'vitest';
import type { HostIdentity } from '../../src/identity/contract.ts';
import { identify } from '../../src/identity/identify.ts';
import { builtinRules } from '../../src/identity/mod.ts';
import { makePlan } from '../../src/identity/plan.ts';
import { correspondIn, type Makers } from '../../src/identity/rules/mod.ts';
import { fileTree } from '../../src/identity/tree/mod.ts';
import { afterPlan } from './after-plan.ts';
import { type MemoryNode, memoryTree } from './memory-tree.ts';
import { readByTools } from './network-tools.ts';

const MINI = {
  '/etc/hostname': 'web1\n',
  '/etc/hosts': '127.0.0.1 localhost\n10.0.0.11 web1.example.org web1\n',
  '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
};
const makers: Makers = { foresee: () => {}, sshHostKey: async () => expect.fail('there are no keys') };

export function host(...interfaces: HostIdentity['interfaces']): HostIdentity {
  return { hostName: 'spare1', domain: 'example.org', interfaces };
}

/** Cards of the lead, and of the understudy. */
export const [M1, M2] = ['52:54:00:00:00:11', '52:54:00:00:01:11'];
export const [N1, N2] = ['52:54:00:00:00:12', '52:54:00:00:01:12'];
export const eth0 = { name: 'eth0', mac: N1, addresses: ['10.0.0.12/24'], gateway: '10.0.0.1' };
const eth1 = { name: 'eth1', mac: N2, addresses: [] };
export const ONE = host(eth0);
export const TWO = host(eth0, eth1);

export interface Planned {
  readonly lead: HostIdentity;
  /** What a file says afterwards; null: it is not there. */
  text(path: string): Promise<string | null>;
  /** "rule path value" of what somebody has to decide. */
  readonly unknown: readonly string[];
  readonly findings: readonly string[];
  readonly shown: string;
}

/** @param lead absent: who the image says it is */
export async function plannedNetwork(
  files: Readonly<Record<string, MemoryNode>>,
  understudy: HostIdentity,
  lead?: HostIdentity,
): Promise<Planned> {
  const image = memoryTree({ ...MINI, ...files });
  const whose = lead ?? (await identify(fileTree(image)));
  const request = { lead: whose, understudy };
  const plan = await makePlan(image, request, builtinRules, makers);
  const after = await afterPlan(image, plan);
  const tree = fileTree(after);
  const correspondence = await correspondIn(tree, whose, understudy);
  const context = { ...request, correspondence, proof: plan.proof, findings: plan.findings };
  for (const rule of builtinRules) expect(await rule.verify(tree, context), rule.name).toEqual([]);
  const again = await makePlan(after, request, builtinRules, makers);
  const own = ({ rule }: { readonly rule: string }): boolean => !rule.includes('machine-id');
  expect(again.changes.filter(own).map(({ path, after: text }) => [path, text])).toEqual([]);
  const line = ({ rule, path, value }: (typeof plan.findings)[number]): string => `${rule} ${path} ${value}`;
  return {
    lead: whose,
    text: async (path) => (await tree.read(path, 1_000_000))?.toString('utf8') ?? null,
    unknown: plan.unknown.map(line),
    findings: plan.findings.map((one) => `${one.action} ${line(one)}`),
    shown: JSON.stringify(plan.findings),
  };
}

/** The lead's values of these tests, and what takes their place. */
export function inPlace(text: string, card: string): string {
  const names = card === 'eth0' ? text : text.replaceAll(/\beth0\b/g, card);
  return names
    .replaceAll('10.0.0.11', '10.0.0.12')
    .replaceAll('10.0.0.254', '10.0.0.1')
    .replaceAll(new RegExp(M1, 'gi'), N1)
    .replaceAll(new RegExp(M2, 'gi'), N2);
}

/**
 * What a tool reads of the clone is what it reads of the lead, with the understudy's values in it: nothing more or
 * less.
 */
export async function expectRead(
  files: Readonly<Record<string, string>>,
  { text }: Planned,
  card = 'eth0',
): Promise<void> {
  const after: Record<string, string> = {};
  for (const path of Object.keys(files)) after[path] = (await text(path)) ?? '';
  const swapped = Object.entries(readByTools(files)).map(([about, said]) => [
    inPlace(about, card),
    inPlace(said, card),
  ]);
  const lower = (said: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(said).map(([about, one]) => [about, one.toLowerCase()]));
  expect(lower(readByTools(after))).toEqual(lower(Object.fromEntries(swapped)));
}
