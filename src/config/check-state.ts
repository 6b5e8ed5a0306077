// Folders of durable state: whoever can write them puts another store, another plan or another backup in the place of
// ours, or makes a name there lead elsewhere.
import { errnoOf, intrusionOn, lookAlong, messageOf } from '../base/mod.ts';
import type { PartlyRaw } from './partial.ts';
import { formatPath, type Path, type Report } from './problem.ts';

/** @param raw with paths made absolute */
export function checkState({ state, storage }: PartlyRaw, report: Report): void {
  if (typeof state === 'string') checkFolder(['state'], state, report);
  if (typeof storage?.folder === 'string') checkFolder(['storage', 'folder'], storage.folder, report);
}

function checkFolder(path: Path, folder: string, report: Report): void {
  try {
    const intrusion = intrusionOn(lookAlong(folder));
    if (intrusion !== null) report(path, `${formatPath(path)}: ${folder} ${intrusion.text}`, intrusion.hint);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    report(path, `${formatPath(path)}: ${folder} cannot be looked at: ${messageOf(error)}`);
  }
}
