// The engine: images opened, rules asked, plans made, applied and verified.
import { UnderstudyError } from '../base/mod.ts';
import type {
  FileChange,
  Finding,
  HostIdentity,
  IdentityEngine,
  IdentityRequest,
  Inspection,
  Kept,
  Plan,
  PlannedCommand,
  Verification,
} from './contract.ts';
import { contentOfFolder, filesBelow } from './emptied.ts';
import { identify } from './identify.ts';
import {
  changeImage,
  type GivenName,
  type ImageFormats,
  type OnStep,
  openRaw,
  type RawImage,
  type Remaining,
  WorkFolder,
  withTree,
} from './image/mod.ts';
import { withKept } from './kept.ts';
import { osOf } from './os.ts';
import { contentOf, digestOf, makePlan, stateOfFile } from './plan.ts';
import { correspondIn, guarded, machineIdIn, orFailed, type Rule, valuesIn } from './rules/mod.ts';
import { coverageOf, surveyOf } from './search/mod.ts';
import { withKeys } from './ssh-keygen.ts';
import { standInFor, standInMakers } from './stand-in.ts';
import { startsIn } from './started.ts';
import { transplant } from './transplant.ts';
import {
  type Entry,
  type FileEdit,
  type FileTree,
  fileTree,
  type ImageTree,
  parentOf,
  RenamedImageTree,
} from './tree/mod.ts';

const MODE_NEW = 0o644;
const FOLDER_MODE_NEW = 0o755;

export type EngineHere = Omit<IdentityEngine, 'show'>;

/** As `IdentityOptions` (isolated/engine.ts), for the process that reads the image itself. */
export interface HereOptions {
  readonly stateFolder: string;
  readonly formats: ImageFormats;
  readonly kernelMount: boolean;
  /** In the order in which they look and change. */
  readonly rules: readonly Rule[];
  readonly kept: readonly Kept[];
  /** Images by their paths here, which others know by other names. */
  readonly given: ReadonlyMap<string, GivenName>;
  readonly onStep?: OnStep;
  /** As `PlanOptions` (plan.ts). @default true */
  readonly stamps?: boolean;
}

/** All that it is asked it does in this process: whoever made the image may come to have it in his hands. */
export function createEngineHere(options: HereOptions): EngineHere {
  const work = new WorkFolder(options.stateFolder);
  const rules = guarded(options.rules);
  const { formats, kept, kernelMount, given, stamps = true } = options;
  const look = <T>(image: string, signal: AbortSignal, use: (tree: ImageTree) => Promise<T>): Promise<T> =>
    withRaw(image, { formats, kernelMount, given, writable: false }, work, signal, (raw) =>
      withTree(raw, work, signal, use),
    );
  const reading: IdentityEngine['reading'] = (image, signal, use) =>
    look(image, signal, (tree) =>
      use({
        inspect: (lead) => inspect(tree, lead, rules, { kept, canRun: kernelMount }),
        identify: () => orFailed('the search for its name and addresses', () => identify(fileTree(tree))),
        plan: (request) =>
          withKeys(work, signal, (keys) => makePlan(tree, request, rules, keys, { kept, canRun: kernelMount, stamps })),
      }),
    );
  return {
    reading,
    inspect: (image, lead, signal) => reading(image, signal, (opened) => opened.inspect(lead)),
    identify: (image, signal) => reading(image, signal, (opened) => opened.identify()),
    plan: (image, request, signal) => reading(image, signal, (opened) => opened.plan(request)),
    async apply(image, plan, signal) {
      const change = { remaining: (tree: ImageTree) => remaining(tree, plan), grow: plan.grow === true };
      await withRaw(image, { formats, kernelMount, given, writable: true }, work, signal, (raw) =>
        changeImage(raw, change, work, signal, options.onStep ?? (() => {})),
      );
    },
    async transplant(from, to, request, signal) {
      const { apply } = request;
      return withRaw(from, { formats, kernelMount, given, writable: false }, work, signal, (lead) =>
        withRaw(to, { formats, kernelMount, given, writable: apply }, work, signal, (spare) =>
          transplant({ from: lead, to: spare, work, signal, onStep: options.onStep ?? (() => {}) }, request),
        ),
      );
    },
    async verify(image, request, plan, signal) {
      return look(image, signal, (tree) => verify(tree, request, plan, { rules, canRun: kernelMount }));
    },
  };
}

async function withRaw<T>(
  image: string,
  access: Parameters<typeof openRaw>[1],
  work: WorkFolder,
  signal: AbortSignal,
  use: (raw: RawImage) => Promise<T>,
): Promise<T> {
  await work.prepare();
  const raw = await openRaw(image, access, work, signal);
  let result: T;
  try {
    result = await use(raw);
  } catch (error) {
    // Why it failed is the first error; that its end failed as well adds nothing.
    await raw.close().catch(() => {});
    throw error;
  }
  await raw.close();
  return result;
}

async function inspect(
  nodes: ImageTree,
  lead: HostIdentity | null,
  rules: readonly Rule[],
  options: { readonly kept: readonly Kept[]; readonly canRun: boolean },
): Promise<Inspection> {
  const tree = fileTree(nodes);
  const { findings, coverage } =
    lead === null ? await foundBy(rules, nodes, options) : await findingsOfPlan(nodes, lead, rules, options);
  const starts = await orFailed('the search for what starts', () => startsIn(tree, findings));
  return { os: await osOf(tree), findings, starts, coverage };
}

type Found = Pick<Inspection, 'findings' | 'coverage'>;

/** What a plan for another host lists. */
async function findingsOfPlan(
  nodes: ImageTree,
  lead: HostIdentity,
  rules: readonly Rule[],
  options: { readonly kept: readonly Kept[]; readonly canRun: boolean },
): Promise<Found> {
  const request = { lead, understudy: standInFor(lead), isLeadsCopy: true };
  return makePlan(nodes, request, rules, standInMakers, { ...options, stamps: true });
}

/** Of an image that does not say whose it is. */
async function foundBy(
  rules: readonly Rule[],
  nodes: ImageTree,
  { kept, canRun }: { readonly kept: readonly Kept[]; readonly canRun: boolean },
): Promise<Found> {
  const tree = fileTree(nodes);
  const findings: Finding[] = [];
  for (const rule of rules) {
    const claimed = new Set(findings.map(({ path }) => path));
    const context = { lead: null, understudy: null, claimed, found: claimed, canRun };
    findings.push(...withKept(await rule.find(tree, context), kept));
  }
  const survey = await surveyOf(nodes, await valuesIn(tree, null));
  return { findings, coverage: coverageOf(nodes, survey, findings, false) };
}

/** @throws IDENTITY_FAILED for what is neither as it was nor as it is to be */
async function remaining(image: ImageTree, plan: Plan): Promise<Remaining> {
  const tree = new RenamedImageTree(image);
  const edits: FileEdit[] = await renamesLeft(tree, plan);
  for (const change of plan.changes) {
    const entry = await tree.entry(change.path);
    if (await isDone(change, entry, tree)) continue;
    if (change.kind === 'folder') {
      edits.push(...(await removals(change, tree)));
      continue;
    }
    const there = entry === null ? null : digestOf((await contentOf(entry, tree)) ?? Buffer.alloc(0));
    if (there !== change.beforeDigest) {
      throw new UnderstudyError('IDENTITY_FAILED', `${change.path} has changed since the plan was made; make another`);
    }
    const folder = parentOf(change.path);
    const isMade = edits.some(({ path }) => path === folder);
    if (entry === null && !isMade && (await tree.entry(folder)) === null) edits.push(newFolder(folder));
    edits.push(await editOf(change, entry, tree));
  }
  return { edits, commands: await commandsLeft(tree, plan) };
}

/**
 * What has its old name still; the tree shows it by the new one. @throws IDENTITY_FAILED when it has neither, or both
 */
async function renamesLeft(tree: RenamedImageTree, { renames = [] }: Plan): Promise<FileEdit[]> {
  const edits: FileEdit[] = [];
  for (const { from, to } of renames) {
    const [isOld, isNew] = [(await tree.entry(from)) !== null, (await tree.entry(to)) !== null];
    if (isOld === isNew)
      throw new UnderstudyError('IDENTITY_FAILED', `${from} has changed since the plan was made; make another`);
    if (isNew) continue;
    tree.rename({ from, to });
    edits.push({ path: to, replaces: false, state: { kind: 'renamed', from } });
  }
  return edits;
}

/** @throws IDENTITY_FAILED when there are other files than there were */
async function removals({ path, beforeDigest }: FileChange, tree: ImageTree): Promise<readonly FileEdit[]> {
  if ((await contentOfFolder(tree, path)).digest !== beforeDigest)
    throw new UnderstudyError('IDENTITY_FAILED', `${path} has changed since the plan was made; make another`);
  const edits: FileEdit[] = [];
  for await (const file of filesBelow(tree, path)) {
    edits.push({ path: file.path, replaces: true, state: { kind: 'gone' } });
  }
  return edits;
}

function newFolder(path: string): FileEdit {
  const state = { kind: 'folder', make: true, mode: FOLDER_MODE_NEW, uid: 0, gid: 0, attributes: [] } as const;
  return { path, replaces: false, state };
}

async function commandsLeft(tree: ImageTree, { commands = [] }: Plan): Promise<readonly PlannedCommand[]> {
  const left: PlannedCommand[] = [];
  for (const one of commands) {
    if (one.before.includes(await stateOfFile(tree, one.path))) left.push(one);
  }
  return left;
}

async function isDone(change: FileChange, entry: Entry | null, tree: ImageTree): Promise<boolean> {
  if (change.kind === 'folder') return entry === null || (await contentOfFolder(tree, change.path)).count === 0;
  if (entry === null || change.after === null) return entry === null && change.after === null;
  if (entry.kind !== change.kind) return false;
  const content = await contentOf(entry, tree);
  if (content === null || !isContent(content, change)) return false;
  return change.mode === null || (entry.mode === change.mode && entry.uid === 0 && entry.gid === 0);
}

function isContent(content: Buffer, { after, copyOf }: FileChange): boolean {
  return copyOf === undefined ? content.equals(Buffer.from(after ?? '', 'utf8')) : digestOf(content) === after;
}

async function editOf(change: FileChange, entry: Entry | null, tree: ImageTree): Promise<FileEdit> {
  const { path, after, mode } = change;
  const replaces = entry !== null;
  if (after === null) return { path, replaces, state: { kind: 'gone' } };
  if (change.kind === 'link') return { path, replaces, state: { kind: 'link', target: after } };
  const root = { mode: mode ?? MODE_NEW, uid: 0, gid: 0 };
  const kept = entry === null || mode !== null ? root : { mode: entry.mode, uid: entry.uid, gid: entry.gid };
  const attributes = entry === null ? [] : await tree.attributes(path);
  const bytes = await bytesFor(change, tree);
  return { path, replaces, state: { kind: 'file', bytes, ...kept, attributes } };
}

async function bytesFor(change: FileChange, tree: ImageTree): Promise<Buffer> {
  if (change.copyOf === undefined) return Buffer.from(change.after ?? '', 'utf8');
  const bytes = await contentOf(await tree.entry(change.copyOf), tree);
  if (bytes !== null && isContent(bytes, change)) return bytes;
  throw new UnderstudyError('IDENTITY_FAILED', `${change.copyOf} has changed since the plan was made; make another`);
}

async function verify(
  nodes: ImageTree,
  request: IdentityRequest,
  plan: Plan,
  { rules, canRun }: { readonly rules: readonly Rule[]; readonly canRun: boolean },
): Promise<Verification> {
  const problems: string[] = [];
  for (const { from, to } of plan.renames ?? []) {
    if ((await nodes.entry(to)) === null) problems.push(`${from} has not become ${to}`);
  }
  for (const change of plan.changes) {
    const isAsPlanned = await isDone(change, await nodes.entry(change.path), nodes);
    if (!isAsPlanned) problems.push(`${change.path} is not as planned`);
  }
  for (const { path, command } of await commandsLeft(nodes, plan)) {
    problems.push(`${path} is as it was before ${command[0]} had to make it anew`);
  }
  const tree = fileTree(nodes);
  if (request.keepsOwn === true) problems.push(...(await problemsOfOwn(tree, request, plan)));
  else {
    const lead = plan.startsFrom ?? request.lead;
    const correspondence = await correspondIn(tree, lead, request.understudy);
    const context = { ...request, lead, canRun, correspondence, proof: plan.proof, findings: plan.findings };
    for (const rule of rules) {
      problems.push(...(await rule.verify(tree, context)).map((problem) => `${rule.name}: ${problem}`));
    }
  }
  return { verified: problems.length === 0, problems };
}

/** A system that stays who it is has to be the understudy's: nobody may have given its files to another host. */
async function problemsOfOwn(
  tree: FileTree,
  { understudy }: IdentityRequest,
  { proof }: Plan,
): Promise<readonly string[]> {
  const { hostName, interfaces } = await identify(tree);
  const declared = interfaces.flatMap(({ addresses }) => addresses);
  const missing = understudy.interfaces.flatMap(({ addresses }) => addresses).filter((one) => !declared.includes(one));
  return [
    ...(hostName === understudy.hostName ? [] : [`it is the system of ${hostName}, not of ${understudy.hostName}`]),
    ...missing.map((address) => `its system does not have ${address}`),
    ...(proof.machineId === (await machineIdIn(tree)) ? [] : ['its machine-id is not what was planned']),
  ];
}
