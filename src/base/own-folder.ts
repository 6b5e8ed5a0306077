// A folder of this user's in a folder that everybody may write (/dev/shm, /tmp), which all processes of the user find
// by themselves, and which nobody else can take from them by making the name first.
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { errnoOf, UnderstudyError } from './errors.ts';
import { isOpenToOthers } from './trust.ts';

const STICKY = 0o1000;
/** Two processes that make one at the same moment see each other within this many looks. */
const LOOKS_MAX = 50;
const LOOK_MS = 4;
const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * PARENT/NAME, where that is this user's and closed to others; if somebody else has that name, a PARENT/NAME.XXXXXX of
 * this user's; made if there is none. Who is not the owner can neither make such a folder nor rename or remove it.
 * @throws RING_FOLDER where others may rename what lies in the parent; errors of Node.js
 */
export function ownFolder(parent: string, name: string): string {
  const facts = lstatSync(parent);
  if (isOpenToOthers(facts) && (facts.mode & STICKY) === 0) {
    throw new UnderstudyError(
      'RING_FOLDER',
      `other users can rename what lies in ${parent} (mode 0${(facts.mode & 0o7777).toString(8)}); chmod +t ${parent}`,
    );
  }
  const wanted = `${parent}/${name}`;
  if (isOwn(wanted) || makes(wanted)) return wanted;
  for (let look = 0; ; look++) {
    const own = ownIn(parent, name);
    const [first] = own;
    if (first === undefined) withdrawUnlessAlone(mkdtempSync(`${wanted}.`), parent, name);
    else if (own.length === 1 || look >= LOOKS_MAX) return first;
    Atomics.wait(pause, 0, 0, Math.random() * LOOK_MS);
  }
}

/** Whoever sees two removes its own and looks again; the later of two that were made at one moment always sees both. */
function withdrawUnlessAlone(made: string, parent: string, name: string): void {
  if (ownIn(parent, name).length === 1) return;
  try {
    rmdirSync(made);
  } catch (cause) {
    // Another process of this user has begun to use it.
    if (errnoOf(cause) !== 'ENOTEMPTY') throw cause;
  }
}

function makes(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw cause;
    return isOwn(path);
  }
}

function ownIn(parent: string, name: string): readonly string[] {
  return readdirSync(parent)
    .filter((one) => one === name || one.startsWith(`${name}.`))
    .map((one) => `${parent}/${one}`)
    .filter(isOwn)
    .sort();
}

function isOwn(path: string): boolean {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  return facts?.isDirectory() === true && facts.uid === process.geteuid?.() && (facts.mode & 0o077) === 0;
}
