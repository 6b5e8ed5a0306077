// Owners by name: a number means another user on another system. passwd(5), group(5).
import { UnderstudyError } from '../../base/mod.ts';
import { type FileTree, readText } from '../tree/mod.ts';
import type { Item } from './take.ts';

type Accounts = ReadonlyMap<number, string>;

/**
 * Items with the numbers that their owners have on the other system. A number that has no name on the first stays.
 * @throws IMAGE_UNSUPPORTED for a name that the other system has not
 */
export async function mapOwners(items: readonly Item[], from: FileTree, to: FileTree): Promise<readonly Item[]> {
  const [users, groups] = [await accounts(from, '/etc/passwd'), await accounts(from, '/etc/group')];
  const [ownUsers, ownGroups] = [await accounts(to, '/etc/passwd'), await accounts(to, '/etc/group')];
  const missing = new Set<string>();
  const mapped = items.map((item) => ({
    ...item,
    uid: inPlaceOf(item.uid, users, ownUsers, (name) => missing.add(`user ${name}`)),
    gid: inPlaceOf(item.gid, groups, ownGroups, (name) => missing.add(`group ${name}`)),
  }));
  if (missing.size > 0) {
    throw new UnderstudyError(
      'IMAGE_UNSUPPORTED',
      `the other host has no ${[...missing].join(', no ')}, to whom files belong`,
    );
  }
  return mapped;
}

function inPlaceOf(id: number, from: Accounts, to: Accounts, miss: (name: string) => void): number {
  const name = from.get(id);
  if (name === undefined) return id;
  const own = [...to].find(([, one]) => one === name);
  if (own !== undefined) return own[0];
  miss(name);
  return id;
}

async function accounts(tree: FileTree, path: string): Promise<Accounts> {
  const file = await readText(tree, path);
  const found = new Map<number, string>();
  for (const line of file.status === 'text' ? file.text.split('\n') : []) {
    const [name = '', , id = ''] = line.split(':');
    if (name !== '' && /^\d{1,10}$/.test(id) && !found.has(Number(id))) found.set(Number(id), name);
  }
  return found;
}
