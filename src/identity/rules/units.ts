// systemd units that are not to start: systemctl(1), "disable" and "mask", done by the links that those commands make. And the same
// for services of OpenRC, whose run levels are folders of links as well: rc-update(8).
import { type FileTree, join } from '../tree/mod.ts';
import type { Edit } from './contract.ts';

const ADMIN_FOLDER = '/etc/systemd/system';
const VENDOR_FOLDERS = ['/usr/lib/systemd/system', '/lib/systemd/system'];
const FOLDERS_MAX = 1000;
const RUN_LEVELS = '/etc/runlevels';

/** Links by which a unit is started with others: in "*.wants" and "*.requires" of a folder of units. */
async function startLinks(tree: FileTree, folder: string, unit: string): Promise<string[]> {
  const folders = (await tree.list(folder)).filter((name) => /\.(wants|requires)$/.test(name)).slice(0, FOLDERS_MAX);
  const paths = folders.map((name) => join(join(folder, name), unit));
  const links = [];
  for (const path of paths) {
    if (await isStart(tree, path)) links.push(path);
  }
  return links;
}

/** What is neither a link nor a file starts nothing. */
async function isStart(tree: FileTree, path: string): Promise<boolean> {
  const kind = (await tree.lstat(path))?.kind;
  return kind === 'link' || kind === 'file';
}

/** What makes a unit start by itself; none when it does not. */
export async function unitStarts(tree: FileTree, unit: string): Promise<readonly string[]> {
  const mask = await tree.lstat(join(ADMIN_FOLDER, unit));
  if (mask?.target === '/dev/null') return [];
  const found = [];
  for (const folder of [ADMIN_FOLDER, ...VENDOR_FOLDERS]) found.push(...(await startLinks(tree, folder, unit)));
  return [...found, ...(await runLevelLinks(tree, unit))];
}

async function runLevelLinks(tree: FileTree, unit: string): Promise<string[]> {
  const service = /^(.+)\.service$/.exec(unit)?.[1];
  if (service === undefined) return [];
  const levels = (await tree.list(RUN_LEVELS)).slice(0, FOLDERS_MAX);
  const found = [];
  for (const path of levels.map((level) => join(join(RUN_LEVELS, level), service))) {
    if (await isStart(tree, path)) found.push(path);
  }
  return found;
}

/** The administrator's links go; a unit that the vendor's links start is masked as well. */
export async function disableUnit(tree: FileTree, unit: string): Promise<readonly Edit[]> {
  const starts = await unitStarts(tree, unit);
  const admins = starts.filter((path) => path.startsWith(`${ADMIN_FOLDER}/`) || path.startsWith(`${RUN_LEVELS}/`));
  const edits: Edit[] = admins.map((path) => ({ kind: 'remove', path }));
  if (admins.length < starts.length) edits.push({ kind: 'link', path: join(ADMIN_FOLDER, unit), target: '/dev/null' });
  return edits;
}
