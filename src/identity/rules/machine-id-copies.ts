// Where the machine-id stands beside machine-id(5): on command lines of the kernel, which give it back to the system at
// every start; in entries and folders that kernel-install(8) names by it; in what else has copied it.
import type { Finding } from '../contract.ts';
import { type Mention, type Named, surveyOf } from '../search/mod.ts';
import { type FileTree, join, nameOf, parentOf, readText } from '../tree/mod.ts';
import { uuidOf } from '../uuid.ts';
import type { Edit, Rule } from './contract.ts';
import { finding, linesText, unusable } from './finding.ts';
import { filesAt } from './glob.ts';
import {
  DBUS_PATH,
  GIVEN_BY_KERNEL,
  MACHINE_ID_PATH,
  machineIdsIn,
  machineIdsOf,
  newMachineId,
  plain,
} from './machine-ids.ts';
import { valuesBefore, valuesIn } from './old-values.ts';

const RULE = 'machine-id-copies';
const BOOT = /^\/(?:boot|efi)\/|^\/etc\/(?:default|kernel|grub\.d)\//;
const WHY = {
  boot: 'The boot loader or the kernel has the machine-id from here: a clone would take that of the lead at its first start.',
  copy: 'It repeats the machine-id of the lead, by which others take two hosts for the same one.',
  name: 'It is named by the machine-id of the lead; the system looks for the name that its own machine-id makes.',
  link: 'It leads to what is named by the machine-id of the lead, which gets the name that the machine-id of the clone makes.',
  unread:
    'The firmware may start the system from it, with a boot entry that gives the machine-id of the lead to the kernel; ' +
    'the system does not say where it is mounted, so it was not looked into.',
  image: 'The machine-id is built into this kernel image, which has to be built again on the clone.',
};
/** Unified kernel images: their command line is a part of the program. */
const IMAGES = ['/{boot,efi,boot/efi}/EFI/Linux/*.efi'];
const IMAGE_BYTES_MAX = 256 * 1024 * 1024;

export const machineIdCopiesRule: Rule = {
  name: RULE,
  async find(tree, { lead }) {
    const ids = await machineIdsOf(tree);
    if (ids.length === 0) return [];
    const survey = await surveyOf(tree.nodes, await valuesIn(tree, lead));
    const found: Finding[] = [];
    for (const [path, mentions] of survey.hits) {
      const one = await findIn(tree, path, mentions);
      if (one !== null) found.push(one);
    }
    found.push(...(await findInImages(tree, ids)), ...unreadEsp(tree));
    const about = { rule: RULE, action: 'rewrite' } as const;
    for (const { path, target } of survey.named.filter((one) => leadsBy(one, ids)))
      found.push(finding({ ...about, path, value: `-> ${target}`, why: WHY.link }));
    // The outermost first: what is in one that is renamed has its path by the new name then.
    const named = survey.named
      .filter(({ path }) => isNamedBy(path, ids))
      .sort((one, other) => depth(one) - depth(other));
    return [...found, ...named.map(({ path }) => finding({ ...about, path, value: nameOf(path), why: WHY.name }))];
  },
  async change(found, tree, { understudy }) {
    const id = await newMachineId(tree, understudy);
    const ids = await machineIdsOf(tree);
    if (found.why === WHY.name) return renames(found.path, tree, ids, id);
    if (found.why === WHY.link) {
      const target = (await tree.lstat(found.path))?.target ?? '';
      return [{ kind: 'link', path: found.path, target: rewritten(target, ids, id) }];
    }
    const file = await readText(tree, found.path);
    if (file.status !== 'text') return [];
    const text = rewritten(file.text, ids, id);
    return text === file.text ? [] : [{ kind: 'write', path: file.path, text }];
  },
  async verify(tree, { lead, proof, findings, correspondence }) {
    const own = findings.filter(({ rule }) => rule === 'machine-id');
    // One that is there already is the right one.
    const ids = machineIdsIn(findings).filter((id) => own.length === 0 || id !== proof.machineId);
    const excused = new Set(findings.filter((one) => one.rule === RULE && !isChanged(one)).map(({ path }) => path));
    const survey = await surveyOf(tree.nodes, valuesBefore(lead, findings, correspondence));
    const problems: string[] = [];
    for (const [path, mentions] of survey.hits) {
      const isLeft = mentions.some(({ value: { kind, shown } }) => kind === 'machine-id' && ids.includes(shown));
      if (isLeft && !isOwn(path) && !excused.has(path)) problems.push(`${path} has the machine-id of the lead`);
    }
    for (const { path } of survey.named)
      if (isNamedBy(path, ids) && !excused.has(path)) problems.push(`${path} is named by the machine-id of the lead`);
    for (const one of survey.named)
      if (leadsBy(one, ids) && !excused.has(one.path)) problems.push(`${one.path} leads to ${one.target}`);
    if (own.length === 0 || !own.every(isChanged)) return problems;
    const others = (await machineIdsOf(tree)).filter((id) => id !== proof.machineId && !ids.includes(id));
    return others.length === 0 ? problems : [...problems, `the image has another machine-id: ${others.join(', ')}`];
  },
};

function isChanged({ action }: Finding): boolean {
  return action === 'rewrite';
}

/** The rule of machine-id(5) has them. */
function isOwn(path: string): boolean {
  return path === MACHINE_ID_PATH || path === DBUS_PATH;
}

function depth({ path }: { readonly path: string }): number {
  return path.split('/').length;
}

async function findIn(tree: FileTree, path: string, mentions: readonly Mention[]): Promise<Finding | null> {
  const own = mentions.filter(({ value }) => value.kind === 'machine-id');
  if (own.length === 0 || isOwn(path)) return null;
  const file = await readText(tree, path);
  if (file.status === 'unusable') return unusable(RULE, file);
  const value = own.map((one) => `${one.value.shown} in ${linesText(one)}`).join('; ');
  const isBoot = BOOT.test(path);
  const [why, confidence] = isBoot ? ([WHY.boot, 'certain'] as const) : ([WHY.copy, 'likely'] as const);
  return finding({ rule: RULE, path, value, why, action: 'rewrite', confidence });
}

async function findInImages(tree: FileTree, ids: readonly string[]): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const { path } of (await filesAt(tree, IMAGES)).files) {
    const bytes = (await tree.read(path, IMAGE_BYTES_MAX)) ?? Buffer.alloc(0);
    const id = ids.find((one) => bytes.includes(one) || bytes.includes(uuidOf(one)));
    const about = { rule: RULE, path, why: WHY.image, action: 'unknown' } as const;
    if (id !== undefined) found.push(finding({ ...about, value: `${id} in the image` }));
  }
  return found;
}

/** FAT that the system does not mount may be what the firmware starts it from. */
function unreadEsp(tree: FileTree): readonly Finding[] {
  const about = { rule: RULE, path: '/', why: WHY.unread, action: 'unknown', confidence: 'guess' } as const;
  return tree.disk.unread.filter(({ type }) => type === 'fat').map(({ text }) => finding({ ...about, value: text }));
}

function isNamedBy(path: string, ids: readonly string[]): boolean {
  return hasOne(nameOf(path), ids);
}

function leadsBy({ target }: Named, ids: readonly string[]): boolean {
  return hasOne(target ?? '', ids);
}

function hasOne(text: string, ids: readonly string[]): boolean {
  const lower = text.toLowerCase();
  return ids.some((id) => lower.includes(id) || lower.includes(uuidOf(id)));
}

/** Nothing where something has that name: then whoever verifies says so. */
async function renames(path: string, tree: FileTree, ids: readonly string[], id: string): Promise<readonly Edit[]> {
  const name = rewritten(nameOf(path), ids, id);
  const folder = rewritten(parentOf(path), ids, id);
  const at = join((await tree.lstat(folder)) === null ? parentOf(path) : folder, nameOf(path));
  const isTaken = (await tree.lstat(join(parentOf(at), name))) !== null;
  return isTaken ? [] : [{ kind: 'rename', path: at, name }];
}

/** Each spelled as it was. What the kernel gives to the system counts, whichever it is. */
function rewritten(text: string, ids: readonly string[], id: string): string {
  const spelled = (old: string): string => {
    const next = old.includes('-') ? uuidOf(id) : id;
    return old === old.toUpperCase() && /[A-F]/.test(old) ? next.toUpperCase() : next;
  };
  const old = new RegExp(ids.map((one) => `(?<![0-9a-f])(?:${one}|${uuidOf(one)})(?![0-9a-f])`).join('|'), 'gi');
  return text.replace(old, spelled).replace(GIVEN_BY_KERNEL, (whole, given: string) => {
    return plain(given) === id ? whole : whole.replace(given, spelled(given));
  });
}
