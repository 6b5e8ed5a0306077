// Users of the system, passwd(5), and whose managers of systemd run without anybody logged in.
import { type FileTree, join, nameOf, textOf } from '../tree/mod.ts';

const USERS_MAX = 2000;
const BYTES_MAX = 4 * 1024 * 1024;
/** Below are accounts of the system, for which nobody logs in: login.defs(5). */
const UID_MIN = 1000;

export interface User {
  readonly name: string;
  readonly home: string;
  /** Its manager starts with the system: loginctl(1), "enable-linger". */
  readonly lingers: boolean;
}

/**
 * Those who can have a manager of units: people, root, and everybody who lingers; also those whom a directory knows.
 */
export async function usersOf(tree: FileTree, cut: (why: string) => void): Promise<readonly User[]> {
  const lingering = new Set((await tree.list('/var/lib/systemd/linger')).map(nameOf));
  const known = new Map<string, string>();
  const bytes = await tree.read('/etc/passwd', BYTES_MAX);
  for (const line of (bytes === null ? '' : (textOf(bytes) ?? bytes.toString('latin1'))).split('\n')) {
    const [name = '', , uid = '', , , home = ''] = line.split(':');
    const isPerson = lingering.has(name) || uid === '0' || Number(uid) >= UID_MIN;
    if (isPerson && home.startsWith('/') && home !== '/') known.set(name, home);
  }
  if (!known.has('root')) known.set('root', '/root');
  const homes = new Set(known.values());
  for (const name of await tree.list('/home')) {
    if (!known.has(name) && !homes.has(join('/home', name))) known.set(name, join('/home', name));
  }
  for (const name of lingering) if (!known.has(name)) known.set(name, join('/home', name));
  if (known.size > USERS_MAX) cut(`there are more than ${USERS_MAX} users`);
  return [...known].slice(0, USERS_MAX).map(([name, home]) => ({ name, home, lingers: lingering.has(name) }));
}
