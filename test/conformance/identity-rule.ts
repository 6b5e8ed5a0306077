// What every rule of the identity engine has to hold, whatever it looks for. Users' own rules have to pass the same.
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/base/mod.ts';
import { correspond } from '../../src/identity/correspondence.ts';
import type { HostIdentity, Rule } from '../../src/identity/mod.ts';
import { makePlan } from '../../src/identity/plan.ts';
import type { Makers } from '../../src/identity/rules/mod.ts';
import { type DiskUse, fileTree, isWithin, type NodeTree } from '../../src/identity/tree/mod.ts';
import { afterPlan } from '../support/after-plan.ts';
import { type MemoryNode, memoryTree } from '../support/memory-tree.ts';
import { LEAD, SPARE } from '../support/system-image.ts';

export interface RuleCase {
  readonly rule: Rule;
  /** An image of the lead in which the rule finds something to change. */
  readonly image: Readonly<Record<string, MemoryNode>>;
  /** What files say afterwards; null: they are gone. Others are as before. Absent for what is made anew each time. */
  readonly after?: Readonly<Record<string, string | null>>;
  /** What it makes is made of what was there, so that another plan makes another. */
  readonly derives?: boolean;
  /** It finds what others change, or what somebody has to decide: nothing is changed. */
  readonly looks?: boolean;
  /** Of the lead: never to be shown, and gone from what is said to be done. */
  readonly secrets?: readonly string[];
  /** What the system mounts from its disk. */
  readonly disk?: DiskUse;
  /** It has something to do for hosts that differ only. */
  readonly otherHardware?: true;
}

type Request = Pick<RuleCase, 'otherHardware'> & { readonly lead: HostIdentity; readonly understudy: HostIdentity };
const SEED = 20_261_126;
/** What files hold that no program wrote, or that a program was stopped in writing. */
const ODD: readonly MemoryNode[] = [
  '',
  '\n\n\n',
  '\0\0\0\0',
  Buffer.from([0xff, 0xfe, 0x00, 0x41]),
  '\u001b[2J\u202eweb1\r\n',
  `${'x'.repeat(200_000)} 10.0.0.11\n`,
  '= = =\n[\n]\n{\n"',
  { link: '/etc/loop' },
  { link: '../../../../../../etc/nowhere' },
  'folder:',
  'device:',
];

function requestFor(otherHardware: RuleCase['otherHardware']): Request {
  return { lead: LEAD, understudy: SPARE, ...(otherHardware && { otherHardware }) };
}

async function planned(rule: Rule, image: NodeTree, makers: Makers, request: Request) {
  const plan = await makePlan(image, request, [rule], makers);
  const after = await afterPlan(image, plan);
  return { plan, after };
}

async function problemsOf(rule: Rule, tree: NodeTree, plan: Awaited<ReturnType<typeof makePlan>>, request: Request) {
  const context = { ...request, correspondence: correspond(LEAD, SPARE), proof: plan.proof, findings: plan.findings };
  return rule.verify(fileTree(tree), context);
}

async function textOf(tree: NodeTree, path: string): Promise<string | null> {
  const bytes = await fileTree(tree).read(path, 1_000_000);
  return bytes === null ? null : bytes.toString('utf8');
}

export function describeRule(
  { rule, image, after: wanted, derives = false, looks = false, secrets = [], disk, otherHardware }: RuleCase,
  makers: Makers,
): void {
  describe(`identity rule ${rule.name}`, () => {
    const [request, original] = [requestFor(otherHardware), (): NodeTree => memoryTree(image, disk)];

    it('finds, changes, and proves it; what it did not find is as it was', async () => {
      const { plan, after } = await planned(rule, original(), makers, request);
      expect(plan.findings.length).toBeGreaterThan(0);
      expect(plan.changes.length > 0).toBe(!looks);
      expect((await problemsOf(rule, original(), plan, request)).length > 0).toBe(!looks);
      expect(await problemsOf(rule, after, plan, request)).toEqual([]);
      for (const [path, text] of Object.entries(wanted ?? {})) expect(await textOf(after, path), path).toBe(text);
      if (looks) expect(plan.findings.filter(({ action }) => action !== 'keep' && action !== 'unknown')).toEqual([]);
      const changed = plan.changes.map(({ path }) => path);
      for (const path of Object.keys(image).filter((one) => !isAmong(one, changed) && !isRenamed(one, plan))) {
        expect(await textOf(after, path), path).toBe(await textOf(original(), path));
      }
      if (wanted !== undefined)
        expect(changed.filter((path) => !Object.keys(wanted).some((one) => isAmong(one, [path])))).toEqual([]);
    });

    it('has nothing more to change once it is done, unless it makes what there is from what was there', async () => {
      const { after } = await planned(rule, original(), makers, request);
      const again = await planned(rule, after, makers, request);
      expect(again.plan.changes.filter(({ fresh }) => !fresh).length > 0).toBe(derives);
    });

    it('says the same of the same image, and nothing that a terminal obeys or that is secret', async () => {
      const one = await planned(rule, original(), makers, request);
      const two = await planned(rule, original(), makers, request);
      expect(one.plan.findings).toEqual(two.plan.findings);
      expect(one.plan.fingerprint).toBe(two.plan.fingerprint);
      for (const { value, why, path } of one.plan.findings) {
        expect(`${value}${why}${path}`).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
        for (const secret of secrets) expect(value).not.toContain(secret);
      }
    });

    it('looks at an image of which nobody said whose it is', async () => {
      const found = await rule.find(fileTree(original()), { lead: null, understudy: null, claimed: new Set() });
      for (const finding of found) expect(finding.rule).toBe(rule.name);
    });

    it('takes whatever an image holds in the places where it looks: never an exception', async () => {
      const random = seededRandom(SEED);
      const paths = Object.keys(image);
      for (let round = 0; round < 120; round += 1) {
        const odd = { ...image, '/etc/loop': { link: '/etc/loop' } } as Record<string, MemoryNode>;
        for (let blows = 1 + random.below(3); blows > 0; blows -= 1) {
          const path = paths[random.below(paths.length)] ?? '';
          const node = odd[path];
          const cut = typeof node === 'string' && random.below(2) === 0;
          odd[path] = cut ? mangle(node, random) : (ODD[random.below(ODD.length)] ?? '');
        }
        const { plan, after } = await planned(rule, memoryTree(odd, disk), makers, request);
        for (const { value } of plan.findings) expect(value).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
        // It may say that it could not do it; it must not say that it did when it did not.
        const left = await problemsOf(rule, after, plan, request);
        const isOpen =
          looks || left.length > 0 || plan.findings.some(({ action }) => action === 'unknown' || action === 'keep');
        for (const secret of isOpen ? [] : secrets) {
          for (const path of paths) expect((await textOf(after, path)) ?? '', `round ${round}`).not.toContain(secret);
        }
      }
    });
  });
}

function isRenamed(path: string, { renames = [] }: Awaited<ReturnType<typeof makePlan>>): boolean {
  return renames.some(({ from }) => isWithin(path, from));
}

/** It is one of these, or lies in one of them. */
function isAmong(path: string, paths: readonly string[]): boolean {
  return paths.some((one) => path === one || path.startsWith(`${one}/`));
}

/** A text with a piece of it gone, doubled, or turned round. */
function mangle(text: string, random: ReturnType<typeof seededRandom>): string {
  const from = random.below(text.length + 1);
  const to = from + random.below(text.length - from + 1);
  const piece = text.slice(from, to);
  const put = [piece + piece, '', [...piece].reverse().join(''), piece.toUpperCase()][random.below(4)] ?? '';
  return text.slice(0, from) + put + text.slice(to);
}
