// Files of tokens on the disk: read only when they are private, changed so that a reader sees the old text or the new
// one.
import { closeSync, constants, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, messageOf, secretProblem, UnderstudyError } from '../base/mod.ts';

/** Another command that changes the file takes milliseconds; one that died left its copy behind. */
const OTHERS_MS_MAX = 5000;
const LOOK_MS = 20;

/** @throws CONFIG_INVALID for a file that others can read, CONFIG_UNREADABLE */
export function readSecret(file: string): string {
  const problem = secretProblem(file);
  if (problem !== null) throw new UnderstudyError('CONFIG_INVALID', `${file} ${problem.text} (${problem.hint})`);
  try {
    // Its owner may have put a pipe there meanwhile: without this flag opening one waits for its writer.
    const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return readFileSync(descriptor, 'utf8');
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    throw new UnderstudyError('CONFIG_UNREADABLE', `${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** Another one whenever the file is another, or was written; it costs one system call. */
export function stampOf(file: string): string {
  const facts = statSync(file, { bigint: true, throwIfNoEntry: false });
  return facts === undefined ? '' : [facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs, facts.mode].join(' ');
}

/**
 * Replaces the text of a file of tokens, which is made with mode 0600 if it is not there; its owner stays.
 * @param change makes the new text of the old one, and may throw
 * @throws CONFIG_INVALID, CONFIG_UNREADABLE, and whatever `change` throws
 */
export async function changeTokens(file: string, change: (text: string) => string): Promise<void> {
  try {
    const path = (await statOrNull(file)) === null ? file : await realpath(file);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await exclusively(`${path}.new`, async (copy) => {
      const owner = await statOrNull(path);
      const text = owner === null ? '' : readSecret(path);
      await copy.writeFile(change(text));
      if (owner !== null && owner.uid !== process.getuid?.()) await copy.chown(owner.uid, owner.gid);
      await copy.sync();
      await rename(`${path}.new`, path);
    });
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    throw new UnderstudyError('CONFIG_UNREADABLE', `${file} cannot be changed: ${messageOf(cause)}`, { cause });
  }
}

/** null: there is no such file. Any other failure is one: a file that cannot be looked at is not an empty one. */
async function statOrNull(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** The new copy is the lock: only one can make it. */
async function exclusively(
  path: string,
  work: (copy: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  for (;;) {
    try {
      const copy = await open(path, 'wx', 0o600);
      try {
        // It has its final name then, and the next copy is somebody else's.
        return await work(copy);
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      } finally {
        await copy.close();
      }
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
    await delay(LOOK_MS);
    const facts = await statOrNull(path);
    if (facts !== null && Date.now() - facts.mtimeMs > OTHERS_MS_MAX) await rm(path, { force: true });
  }
}
