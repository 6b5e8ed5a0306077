// Users of the system, passwd(5), and whose managers of systemd run without anybody logged in.
import { type FileTree, nameOf, textOf } from '../tree/mod.ts';

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

/** Those who can have a manager of units: people, root, and everybody who lingers. */
export async function usersOf(tree: FileTree, cut: (why: string) => void): Promise<readonly User[]> {
  const bytes = await tree.read('/etc/passwd', BYTES_MAX);
  const lingering = new Set((await tree.list('/var/lib/systemd/linger')).map(nameOf));
  const users: User[] = [];
  for (const line of (bytes === null ? '' : (textOf(bytes) ?? bytes.toString('latin1'))).split('\n')) {
    const [name = '', , uid = '', , , home = ''] = line.split(':');
    const lingers = lingering.has(name);
    if (!home.startsWith('/') || home === '/' || !(lingers || uid === '0' || Number(uid) >= UID_MIN)) continue;
    if (users.length >= USERS_MAX) {
      cut(`there are more than ${USERS_MAX} users`);
      break;
    }
    users.push({ name, home, lingers });
  }
  return users;
}
