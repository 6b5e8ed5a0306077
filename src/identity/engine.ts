// The engine: images opened, rules asked, plans made, applied and verified.
import { UnderstudyError } from '../base/mod.ts';
import type {
  FileChange,
  Finding,
  HostIdentity,
  IdentityEngine,
  IdentityRequest,
  Inspection,
  Plan,
  Verification,
} from './contract.ts';
import { correspond } from './correspondence.ts';
import type { ExtTree } from './ext/mod.ts';
import { changeImage, type FileEdit, type OnStep, openImage, WorkFolder } from './image/mod.ts';
import { osOf } from './os.ts';
import { contentOf, digestOf, makePlan } from './plan.ts';
import { builtinRules, type Rule } from './rules/mod.ts';
import { showPlan } from './show.ts';
import { makeSshKey } from './ssh-keygen.ts';
import { type Entry, fileTree } from './tree/mod.ts';

const MODE_NEW = 0o644;

export interface IdentityOptions {
  /**
   * Absolute. A private folder for what is written while an image is changed; what lets a later call complete one that was
   * interrupted lies there, so it has to be durable. @default one below the folder for temporary files
   */
  readonly stateFolder?: string;
  /** In the order in which they look and change. @default builtinRules */
  readonly rules?: readonly Rule[];
  /** Told the name of each step of `apply` before it begins. */
  readonly onStep?: OnStep;
}

export function createIdentityEngine(options: IdentityOptions = {}): IdentityEngine {
  const work = new WorkFolder(options.stateFolder ?? null);
  const rules = options.rules ?? builtinRules;
  return {
    async inspect(image, lead, signal) {
      return withImage(image, work, signal, (tree) => inspect(tree, lead, rules));
    },
    async plan(image, request, signal) {
      const makers = { sshHostKey: (spec: Parameters<typeof makeSshKey>[0]) => makeSshKey(spec, work, signal) };
      return withImage(image, work, signal, (tree) => makePlan(tree, request, rules, makers));
    },
    async apply(image, plan, signal) {
      await work.prepare();
      const change = { remaining: (tree: ExtTree) => remaining(tree, plan) };
      await changeImage(image, change, work, signal, options.onStep ?? (() => {}));
    },
    async verify(image, request, plan, signal) {
      return withImage(image, work, signal, (tree) => verify(tree, request, plan, rules));
    },
    show: showPlan,
  };
}

async function withImage<T>(
  image: string,
  work: WorkFolder,
  signal: AbortSignal,
  use: (tree: ExtTree) => Promise<T>,
): Promise<T> {
  await work.prepare();
  const opened = await openImage(image, work, signal);
  try {
    return await use(opened.tree);
  } finally {
    await opened.close();
  }
}

async function inspect(nodes: ExtTree, lead: HostIdentity | null, rules: readonly Rule[]): Promise<Inspection> {
  const tree = fileTree(nodes);
  const findings: Finding[] = [];
  for (const rule of rules) {
    const claimed = new Set(findings.map(({ path }) => path));
    findings.push(...(await rule.find(tree, { lead, understudy: null, claimed })));
  }
  return { os: await osOf(tree), findings };
}

/** @throws IDENTITY_FAILED for what is neither as it was nor as it is to be */
async function remaining(tree: ExtTree, plan: Plan): Promise<readonly FileEdit[]> {
  const edits: FileEdit[] = [];
  for (const change of plan.changes) {
    const entry = await tree.entry(change.path);
    if (await isDone(change, entry, tree)) continue;
    const there = entry === null ? null : digestOf((await contentOf(entry, tree)) ?? Buffer.alloc(0));
    if (there !== change.beforeDigest) {
      throw new UnderstudyError('IDENTITY_FAILED', `${change.path} has changed since the plan was made; make another`);
    }
    edits.push(await editOf(change, entry, tree));
  }
  return edits;
}

async function isDone(change: FileChange, entry: Entry | null, tree: ExtTree): Promise<boolean> {
  if (entry === null || change.after === null) return entry === null && change.after === null;
  if (entry.kind !== change.kind) return false;
  const content = await contentOf(entry, tree);
  if (content === null || !content.equals(Buffer.from(change.after, 'utf8'))) return false;
  return change.mode === null || (entry.mode === change.mode && entry.uid === 0 && entry.gid === 0);
}

async function editOf(change: FileChange, entry: Entry | null, tree: ExtTree): Promise<FileEdit> {
  const { path, after, mode } = change;
  const replaces = entry !== null;
  if (after === null) return { path, replaces, state: { kind: 'gone' } };
  if (change.kind === 'link') return { path, replaces, state: { kind: 'link', target: after } };
  const root = { mode: mode ?? MODE_NEW, uid: 0, gid: 0 };
  const kept = entry === null || mode !== null ? root : { mode: entry.mode, uid: entry.uid, gid: entry.gid };
  const attributes = entry === null ? [] : await tree.attributes(path);
  return { path, replaces, state: { kind: 'file', bytes: Buffer.from(after, 'utf8'), ...kept, attributes } };
}

async function verify(
  nodes: ExtTree,
  request: IdentityRequest,
  plan: Plan,
  rules: readonly Rule[],
): Promise<Verification> {
  const problems: string[] = [];
  for (const change of plan.changes) {
    const isAsPlanned = await isDone(change, await nodes.entry(change.path), nodes);
    if (!isAsPlanned) problems.push(`${change.path} is not as planned`);
  }
  const tree = fileTree(nodes);
  const correspondence = correspond(request.lead, request.understudy);
  const context = { ...request, correspondence, proof: plan.proof, findings: plan.findings };
  for (const rule of rules) {
    problems.push(...(await rule.verify(tree, context)).map((problem) => `${rule.name}: ${problem}`));
  }
  return { verified: problems.length === 0, problems };
}
