// Making a plan: every rule finds and changes in the tree as those before it left it; what comes out is the difference.
import { createHash } from 'node:crypto';
import { UnderstudyError } from '../base/mod.ts';
import type { FileChange, Finding, IdentityRequest, Kept, Plan, PlannedCommand, PlannedRename } from './contract.ts';
import { contentOfFolder, countText } from './emptied.ts';
import { withKept } from './kept.ts';
import {
  type ChangeContext,
  correspondIn,
  type Edit,
  type FindContext,
  type Makers,
  machineIdIn,
  type Rule,
  type RuleCommand,
  sshFingerprints,
  valuesIn,
} from './rules/mod.ts';
import { coverageOf, surveyOf } from './search/mod.ts';
import { foundAgain, STAMP_RULE, type Stamp, stampPath, stampText, startOf } from './stamp.ts';
import {
  bytesOfName,
  type Entry,
  type FileTree,
  fileTree,
  isWithin,
  join,
  type NodeTree,
  nameOf,
  type Place,
  type PlannedState,
  PlannedTree,
  parentOf,
  printable,
  textOf,
} from './tree/mod.ts';

/** Files that are changed or removed are read whole, for what they were is part of the plan. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const SECRET = '(secret)';
const DONE_BY_RULES: readonly string[] = ['rewrite', 'regenerate', 'disable'];

/** What rules said of a path beside its new content. */
interface Notes {
  readonly rules: Set<string>;
  secret: boolean;
  fresh: boolean;
}

export interface PlanOptions {
  readonly kept?: readonly Kept[];
  readonly canRun?: boolean;
  /** The image says afterwards what was done (stamp.ts), and is believed if it says so already. @default false */
  readonly stamps?: boolean;
}

/** It has a digest of what the agent shows. */
const STAMP_MODE = 0o600;

type WantedCommand = RuleCommand & { readonly rule: string };

export async function makePlan(
  nodes: NodeTree,
  request: IdentityRequest,
  rules: readonly Rule[],
  makers: Makers,
  { kept = [], canRun = false, stamps = false }: PlanOptions = {},
): Promise<Plan> {
  const planned = new PlannedTree(nodes);
  const tree = fileTree(planned);
  const notes = new Map<string, Notes>();
  const isStamped = stamps && request.keepsOwn !== true;
  const start = isStamped ? await startOf(tree, request) : { lead: request.lead, isDone: false, stamp: null };
  if (start.isDone && start.stamp !== null)
    return planOfDone(nodes, { ...request, lead: start.lead }, rules, { kept, canRun, stamp: start.stamp });
  const stamp = isStamped ? await stampPath(tree) : null;
  if (stamp !== null) {
    // What it will say is known at the end. Until then nobody finds there what an earlier one said.
    planned.plan(stamp, { kind: 'file', bytes: Buffer.alloc(0), mode: STAMP_MODE });
    notes.set(stamp, { rules: new Set([STAMP_RULE]), secret: true, fresh: false });
  }
  const { lead } = start;
  const hosts = { ...request, lead };
  const correspondence = await correspondIn(tree, lead, request.understudy);
  const context: ChangeContext = { ...hosts, canRun, correspondence, makers };
  const asked = request.keepsOwn === true ? [] : rules;
  const room = { planned, tree, notes, context };
  const { findings, wanted, renames } = await ask(asked, room, { ...hosts, canRun, correspondence }, kept);
  const unknown = findings.filter(({ action }) => action === 'unknown');
  const commands = await commandsOf(wanted, planned);
  const proof = { sshHostKeys: await sshFingerprints(tree), machineId: await machineIdIn(tree) };
  const more = {
    ...(request.grow === true ? { grow: true } : {}),
    ...(renames.length > 0 ? { renames } : {}),
    ...(start.stamp === null ? {} : { startsFrom: lead }),
    ...(commands.length > 0 ? { commands } : {}),
  };
  if (stamp !== null) {
    const others = (await changesOf(planned, notes)).filter(({ path }) => path !== stamp);
    const fingerprint = fingerprintOf(others, findings, more);
    const text = stampText({ start, request, machineId: proof.machineId, findings, fingerprint });
    planned.plan(stamp, { kind: 'file', bytes: Buffer.from(text), mode: STAMP_MODE });
  }
  const changes = await changesOf(planned, notes);
  const survey = asked.length === 0 ? null : await surveyOf(nodes, await valuesIn(fileTree(nodes), lead));
  return {
    fingerprint: fingerprintOf(changes, findings, more),
    changes,
    findings,
    unknown,
    proof,
    ...(survey === null ? {} : { coverage: coverageOf(nodes, survey, findings, true) }),
    ...more,
  };
}

interface Room {
  readonly planned: PlannedTree;
  readonly tree: FileTree;
  readonly notes: Map<string, Notes>;
  readonly context: ChangeContext;
}

interface Asked {
  readonly findings: readonly Finding[];
  readonly wanted: readonly WantedCommand[];
  readonly renames: readonly PlannedRename[];
}

/** Each rule in turn finds and plans, in the tree as those before it left it. */
async function ask(
  rules: readonly Rule[],
  { planned, tree, notes, context }: Room,
  hosts: Omit<FindContext, 'claimed' | 'found'>,
  kept: readonly Kept[],
): Promise<Asked> {
  const findings: Finding[] = [];
  const wanted: WantedCommand[] = [];
  const renames: PlannedRename[] = [];
  for (const rule of rules) await rule.prepare?.(tree, context);
  for (const rule of rules) {
    const found = withKept(await rule.find(tree, { ...hosts, claimed: new Set(), found: pathsOf(findings) }), kept);
    findings.push(...found);
    for (const finding of found) {
      if (!DONE_BY_RULES.includes(finding.action)) continue;
      for (const edit of await rule.change(finding, tree, context)) {
        if (edit.kind === 'rename') renames.push(...(await planRename(edit, rule.name, planned, notes)));
        else await planEdit(edit, rule.name, planned, notes);
      }
      const run = (await rule.commands?.(finding, tree, context)) ?? [];
      wanted.push(...run.map((command) => ({ rule: rule.name, ...command })));
    }
  }
  return { findings, wanted, renames };
}

/** What is asked was done before: it is looked at once more, and nothing is changed. */
async function planOfDone(
  nodes: NodeTree,
  request: IdentityRequest,
  rules: readonly Rule[],
  { kept, canRun, stamp }: { readonly kept: readonly Kept[]; readonly canRun: boolean; readonly stamp: Stamp },
): Promise<Plan> {
  const tree = fileTree(nodes);
  const found: Finding[] = [];
  const claimed = new Set([await stampPath(tree)]);
  const correspondence = await correspondIn(tree, request.lead, request.understudy);
  for (const rule of rules) {
    const context = { ...request, canRun, correspondence, claimed, found: pathsOf(found) };
    found.push(...withKept(await rule.find(tree, context), kept));
  }
  const findings = foundAgain(found, stamp);
  const unknown = findings.filter(({ action }) => action === 'unknown');
  const proof = { sshHostKeys: await sshFingerprints(tree), machineId: await machineIdIn(tree) };
  const more = { ...(request.grow === true ? { grow: true } : {}), startsFrom: request.lead };
  const survey = await surveyOf(nodes, await valuesIn(tree, request.lead));
  const coverage = coverageOf(nodes, survey, findings, true);
  return { fingerprint: fingerprintOf([], findings, more), changes: [], findings, unknown, proof, coverage, ...more };
}

function pathsOf(findings: readonly Finding[]): ReadonlySet<string> {
  return new Set(findings.map(({ path }) => path));
}

async function commandsOf(wanted: readonly WantedCommand[], planned: PlannedTree): Promise<readonly PlannedCommand[]> {
  const commands: PlannedCommand[] = [];
  for (const { rule, path, command, environment } of wanted) {
    const states = [await stateOfFile(planned.renamed, path), await stateOfFile(planned, path)];
    commands.push({ rule, path, before: [...new Set(states)], command, environment });
  }
  return commands;
}

/** SHA-256 of a file or of what a link leads to; "gone" for nothing. */
export async function stateOfFile(nodes: NodeTree, path: string): Promise<string> {
  const content = await contentOf(await nodes.entry(path), nodes);
  return content === null ? 'gone' : digestOf(content);
}

/** What was noted of what lies there goes with it. Nothing where nothing has the name. */
async function planRename(
  { path, name }: Extract<Edit, { kind: 'rename' }>,
  rule: string,
  planned: PlannedTree,
  notes: Map<string, Notes>,
): Promise<readonly PlannedRename[]> {
  const entry = await fileTree(planned).lstat(path);
  if (entry === null) return [];
  const one = { from: entry.path, to: join(parentOf(entry.path), name) };
  if (one.from !== printable(one.from) || one.to !== printable(one.to))
    throw new UnderstudyError(
      'IMAGE_UNSUPPORTED',
      `${printable(one.from)} has a name that cannot be used in changing it`,
    );
  if ((await planned.entry(one.to)) !== null)
    throw new UnderstudyError('IDENTITY_FAILED', `rule ${rule} would give ${one.from} a name that another one has`);
  planned.rename(one);
  for (const [noted, note] of [...notes].filter(([noted]) => isWithin(noted, one.from))) {
    notes.delete(noted);
    notes.set(one.to + noted.slice(one.from.length), note);
  }
  return [{ rule, ...one }];
}

/** Links that a file's path leads through are followed; a link is replaced or removed itself. */
async function planEdit(
  edit: Exclude<Edit, { kind: 'rename' }>,
  rule: string,
  planned: PlannedTree,
  notes: Map<string, Notes>,
): Promise<void> {
  const tree = fileTree(planned);
  const isWritten = edit.kind === 'write' || edit.kind === 'copy';
  const place = isWritten ? await placeToWrite(edit, tree) : await placeOfName(planned, edit.path);
  if (place === null) return;
  const { path, entry } = place;
  if (path !== printable(path)) {
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `${printable(path)} has a name that cannot be used in changing it`);
  }
  if (edit.kind === 'empty') return planEmptying(path, entry, rule, planned, notes);
  if (entry !== null && entry.kind !== 'file' && entry.kind !== 'link') {
    throw new UnderstudyError('IDENTITY_FAILED', `rule ${rule} would replace ${path}, which is no file`);
  }
  if (edit.kind !== 'remove' || entry !== null) planned.plan(path, await stateOf(edit, tree));
  const known = notes.get(path) ?? { rules: new Set(), secret: false, fresh: false };
  known.rules.add(rule);
  known.secret ||= 'secret' in edit && edit.secret === true;
  known.fresh ||= edit.kind === 'write' && edit.fresh === true;
  notes.set(path, known);
}

async function planEmptying(
  path: string,
  entry: Entry | null,
  rule: string,
  planned: PlannedTree,
  notes: Map<string, Notes>,
): Promise<void> {
  if (entry?.kind !== 'folder') return;
  planned.plan(path, { kind: 'emptied' });
  notes.set(path, { rules: new Set([rule]), secret: false, fresh: false });
}

/** The folder of a copy may be missing, if the one above it is there; of what is written only where it says so. */
async function placeToWrite(edit: Edit, tree: FileTree): Promise<Place | null> {
  const { kind, path } = edit;
  const place = await tree.place(path);
  const makesFolder = kind === 'copy' || (kind === 'write' && edit.makesFolder === true);
  if (place !== null || !makesFolder) return place;
  const folder = await tree.place(parentOf(path));
  return folder?.entry === null ? { path: join(folder.path, nameOf(path)), entry: null } : null;
}

async function placeOfName(planned: PlannedTree, path: string): Promise<Place | null> {
  const tree = fileTree(planned);
  const entry = await tree.lstat(path);
  if (entry !== null) return { path: entry.path, entry };
  return tree.place(path);
}

async function stateOf(edit: Exclude<Edit, { kind: 'rename' }>, tree: FileTree): Promise<PlannedState> {
  if (edit.kind === 'remove' || edit.kind === 'empty') return { kind: 'gone' };
  if (edit.kind === 'link') return { kind: 'link', target: edit.target };
  if (edit.kind === 'write') return { kind: 'file', bytes: Buffer.from(edit.text, 'utf8'), mode: edit.mode ?? null };
  const from = await tree.stat(edit.from);
  if (from?.kind !== 'file' || from.sizeBytes > FILE_BYTES_MAX)
    throw new UnderstudyError('IDENTITY_FAILED', `${edit.from} cannot be copied: it is no file, or a large one`);
  const bytes = (await tree.read(from.path, FILE_BYTES_MAX)) ?? Buffer.alloc(0);
  return { kind: 'file', bytes, mode: null, copyOf: from.path };
}

async function changesOf(planned: PlannedTree, notes: ReadonlyMap<string, Notes>): Promise<readonly FileChange[]> {
  const changes: FileChange[] = [];
  for (const path of [...planned.states.keys()].sort()) {
    const state = planned.states.get(path);
    const noted = notes.get(path);
    if (state === undefined || noted === undefined) continue;
    const change = await changeOf(path, await planned.renamed.entry(path), state, noted, planned.renamed);
    if (change !== null) changes.push(change);
  }
  return changes;
}

/** Null when it is so already. */
async function changeOf(
  path: string,
  entry: Entry | null,
  state: PlannedState,
  noted: Notes,
  nodes: NodeTree,
): Promise<FileChange | null> {
  if (state.kind === 'emptied') return emptying(path, noted, nodes);
  const kind = state.kind === 'gone' ? (entry?.kind === 'link' ? 'link' : 'file') : state.kind;
  const before = await contentOf(entry, nodes);
  const content = state.kind === 'gone' ? null : state.kind === 'link' ? bytesOfName(state.target) : state.bytes;
  const copyOf = state.kind === 'file' ? (state.copyOf ?? null) : null;
  const after = content === null ? null : copyOf === null ? content.toString('utf8') : digestOf(content);
  const mode = state.kind === 'file' ? state.mode : null;
  const isSame = content !== null && before?.equals(content) === true;
  if ((before === null && after === null) || (isSame && (mode === null || mode === entry?.mode))) return null;
  return {
    path,
    rule: [...noted.rules].join(', '),
    kind,
    before: before === null ? null : noted.secret ? SECRET : (textOf(before) ?? `(binary, ${before.length} bytes)`),
    beforeDigest: before === null ? null : digestOf(before),
    ...(copyOf === null ? {} : { copyOf }),
    after,
    secret: noted.secret,
    fresh: noted.fresh,
    mode,
  };
}

/** Null when nothing is in it already. */
async function emptying(path: string, { rules }: Notes, nodes: NodeTree): Promise<FileChange | null> {
  const { count, digest } = await contentOfFolder(nodes, path);
  if (count === 0) return null;
  const facts = { path, rule: [...rules].join(', '), before: countText(count), beforeDigest: digest };
  return { ...facts, kind: 'folder', after: null, secret: false, fresh: false, mode: null };
}

/** Bytes of a file, or what a link leads to; null when nothing is there. */
export async function contentOf(entry: Entry | null, nodes: NodeTree): Promise<Buffer | null> {
  if (entry === null) return null;
  if (entry.kind === 'link') return bytesOfName(entry.target ?? '');
  if (entry.sizeBytes > FILE_BYTES_MAX) {
    throw new UnderstudyError(
      'IMAGE_UNSUPPORTED',
      `${entry.path} has ${entry.sizeBytes} bytes, too many to be changed`,
    );
  }
  return nodes.bytes(entry.path, FILE_BYTES_MAX);
}

export function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Of everything that another plan for the same image and hosts says as well. */
function fingerprintOf(changes: readonly FileChange[], findings: readonly Finding[], more: object): string {
  const lasting = changes.map((change) =>
    change.fresh ? { ...change, after: change.after === null ? null : '(fresh)' } : change,
  );
  return createHash('sha256')
    .update(JSON.stringify({ changes: lasting, findings, ...more }))
    .digest('hex');
}
