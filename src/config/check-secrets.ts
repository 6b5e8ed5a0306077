// Files that hold secrets: nobody else may be able to read them.
import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { errnoOf } from '../base/mod.ts';
import { entriesOf, type PartlyRaw } from './partial.ts';
import { formatPath, type Path, type Report } from './problem.ts';

export const SECRET_BYTES_MAX = 64 * 1024;

/** @param raw with paths made absolute */
export async function checkSecrets(raw: PartlyRaw, report: Report): Promise<void> {
  const files: (readonly [Path, string])[] = [];
  if (raw.api?.tokensFile !== undefined) files.push([['api', 'tokensFile'], raw.api.tokensFile]);
  for (const [name, host] of entriesOf(raw.hosts)) {
    if (typeof host.agentTokenFile === 'string') files.push([['hosts', name, 'agentTokenFile'], host.agentTokenFile]);
  }
  for (const [name, service] of entriesOf(raw.services)) {
    for (const [index, signal] of (service.signals ?? []).entries()) {
      const file = signal?.prometheus?.tokenFile;
      if (file !== undefined) files.push([['services', name, 'signals', index, 'prometheus', 'tokenFile'], file]);
    }
  }
  for (const [path, file] of files) {
    const problem = await secretProblem(file);
    if (problem !== null) report(path, `${formatPath(path)}: ${file} ${problem.text}`, problem.hint);
  }
}

export interface SecretProblem {
  readonly text: string;
  readonly hint: string;
}

/** What is wrong with a file that holds a secret; null when it is private. What is in it is not looked at. */
export async function secretProblem(file: string): Promise<SecretProblem | null> {
  try {
    return secretProblemOf(file, await stat(file));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return { text: 'does not exist', hint: 'make it with mode 0600' };
    if (errno === 'EACCES') return { text: 'cannot be looked at by this user', hint: 'its folders need the right x' };
    throw error;
  }
}

/** The same for a file that is open. */
export function secretProblemOf(file: string, facts: Stats): SecretProblem | null {
  if (!facts.isFile()) return { text: 'is no file', hint: 'name a regular file' };
  if (facts.size > SECRET_BYTES_MAX) {
    return { text: 'is too long for a secret', hint: `at most ${SECRET_BYTES_MAX} bytes` };
  }
  const mode = facts.mode & 0o7777;
  if ((mode & 0o077) !== 0) {
    return { text: `can be read or changed by others (mode 0${mode.toString(8)})`, hint: `chmod 600 ${file}` };
  }
  const own = process.getuid?.();
  if (facts.uid === own || facts.uid === 0) return null;
  return { text: `belongs to user ${facts.uid}`, hint: `chown ${own} ${file}` };
}
