// The managers of users, systemd.unit(5). They start with the system for those who linger, and for others when they
// log in: on a clone somebody will.
import { type FileTree, join } from '../../tree/mod.ts';
import type { Reader, Start } from '../contract.ts';
import { type User, usersOf } from '../users.ts';
import { startedUnits } from './closure.ts';
import { Manager } from './manager.ts';

const ADMIN = '/etc/systemd/user';
const GLOBAL = [
  ADMIN,
  '/usr/local/lib/systemd/user',
  '/usr/local/share/systemd/user',
  '/usr/lib/systemd/user',
  '/usr/share/systemd/user',
];

export const userStarts: Reader = async (tree, cut) => {
  const everyone = await startsOf(tree, GLOBAL, ADMIN, { owner: 'user', home: null }, cut);
  const starts: Start[] = [...everyone];
  const shared = new Set(everyone.map(({ file, name }) => file ?? name));
  for (const user of await usersOf(tree, cut)) {
    const own = [join(user.home, '.config/systemd/user'), join(user.home, '.local/share/systemd/user')];
    if (!(await hasUnits(tree, own))) continue;
    const admin = own[0] ?? '';
    const all = await startsOf(tree, [...own, ...GLOBAL], admin, { owner: ownerOf(user), home: user.home }, cut);
    // What every user has is told once.
    starts.push(
      ...all.filter(({ file, by }) => !shared.has(file ?? '') || by.some(({ path }) => path.startsWith(user.home))),
    );
  }
  return starts;
};

function ownerOf({ name, lingers }: User): string {
  return lingers ? name : `${name}, when logged in`;
}

async function hasUnits(tree: FileTree, folders: readonly string[]): Promise<boolean> {
  for (const folder of folders) if ((await tree.list(folder)).length > 0) return true;
  return false;
}

async function startsOf(
  tree: FileTree,
  folders: readonly string[],
  admin: string,
  { owner, home }: { readonly owner: string; readonly home: string | null },
  cut: (why: string) => void,
): Promise<readonly Start[]> {
  const manager = await Manager.open(tree, folders, admin, cut);
  return startedUnits(tree, manager, [], { way: 'systemd user', owner, home }, cut);
}
