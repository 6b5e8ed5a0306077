// Who besides this user and root can change what a path leads to. Folders that everybody may write (/tmp), homes of
// others and links that others made are where one user leads another user's program elsewhere.
import { lstatSync, readFileSync, readlinkSync, realpathSync, type Stats } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { errnoOf } from './errors.ts';

const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
/** chmod(2): entries of such a folder are renamed and removed by their owners only. */
const STICKY = 0o1000;
/** path_resolution(7). */
const LINKS_MAX = 40;
/** Host users that a user namespace has no number for, root among them, show as this one (user_namespaces(7)). */
const OVERFLOW_UID = 65_534;

export interface Entry {
  readonly path: string;
  readonly facts: Stats;
}

/** How a path was followed, one component after the other. */
export interface Way {
  /** Absolute, without links; its end may not exist. */
  readonly path: string;
  readonly links: readonly Entry[];
  /** Folders from the root on, and what the path names, as far as they exist. */
  readonly entries: readonly Entry[];
}

/** Follows a path as the kernel does. @throws errors of Node.js: ELOOP, EACCES */
export function lookAlong(path: string): Way {
  const links: Entry[] = [];
  const entries: Entry[] = [{ path: '/', facts: lstatSync('/') }];
  const rest = namesIn(isAbsolute(path) ? path : `${process.cwd()}/${path}`);
  let at = '/';
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const next = name === '..' ? dirname(at) : join(at, name);
    const facts = lstatSync(next, { throwIfNoEntry: false });
    if (facts === undefined) return { path: join(next, ...rest), links, entries };
    // What a link of the kernel's own leads to is no text (proc(5)).
    if (facts.isSymbolicLink() && next.startsWith('/proc/')) {
      at = realpathSync(next);
    } else if (facts.isSymbolicLink()) {
      links.push({ path: next, facts });
      if (links.length > LINKS_MAX) throw Object.assign(new Error(`${path} leads in a circle`), { code: 'ELOOP' });
      const target = readlinkSync(next);
      if (isAbsolute(target)) at = '/';
      rest.unshift(...namesIn(target));
    } else {
      at = next;
      entries.push({ path: next, facts });
    }
  }
  return { path: at, links, entries };
}

function namesIn(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** Root, or the user that this process acts for. */
export function isTrusted(uid: number): boolean {
  if (uid === 0 || uid === process.geteuid?.()) return true;
  return uid === OVERFLOW_UID && !mapsAllUsers();
}

function mapsAllUsers(): boolean {
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return true;
  }
}

/** The first link on the way that somebody else made, and could lead elsewhere at any moment. */
export function linkOfStranger({ links }: Way): Entry | null {
  return links.find(({ facts }) => !isTrusted(facts.uid)) ?? null;
}

/**
 * The same, of links that lie where everybody can put one (as the kernel's fs.protected_symlinks): what is only read
 * may be followed else.
 */
export function plantedLink({ links }: Way): Entry | null {
  const isOpen = (path: string): boolean => (lstatSync(dirname(path)).mode & OTHERS_WRITE) !== 0;
  return links.find(({ path, facts }) => !isTrusted(facts.uid) && isOpen(path)) ?? null;
}

/**
 * Whether users other than root and this one may write it by its owner and mode; members of root's group count as root.
 */
export function isOpenToOthers({ uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>): boolean {
  return !isTrusted(uid) || (mode & OTHERS_WRITE) !== 0 || ((mode & GROUP_WRITE) !== 0 && gid !== 0);
}

export interface Intrusion {
  readonly text: string;
  /** What to do about it. */
  readonly hint: string;
}

/**
 * Why what the path names is not only this user's and root's to change, as the end of a sentence about it; null: it is.
 * Looked at are all links and folders on the way and what is at the end. That its folder may be written by a group
 * counts; that one further up may be does not, for distributions give groups folders of their own there (/usr/local).
 * What does not exist yet is this user's to make: only where counts.
 */
export function intrusionOn(way: Way): Intrusion | null {
  const link = linkOfStranger(way);
  if (link !== null) {
    return {
      text: `is reached over the symbolic link ${link.path} of user ${link.facts.uid}`,
      hint: 'name the file itself',
    };
  }
  const last = way.entries.length - (way.entries.at(-1)?.path === way.path ? 1 : 0);
  for (const [index, { path, facts }] of way.entries.entries()) {
    const what = index === last ? '' : `lies in ${path}, which `;
    if (!isTrusted(facts.uid)) {
      return { text: `${what}belongs to user ${facts.uid}`, hint: `chown ${process.geteuid?.() ?? 0} ${path}` };
    }
    if (index < last && (facts.mode & STICKY) !== 0) continue;
    const others = (facts.mode & OTHERS_WRITE) !== 0;
    const group = index >= last - 1 && isOpenToOthers(facts);
    if (!others && !group) continue;
    const mode = `mode 0${(facts.mode & 0o7777).toString(8)}`;
    return { text: `${what}can be written by other users (${mode})`, hint: `chmod ${others ? 'go' : 'g'}-w ${path}` };
  }
  return null;
}
