// Backups as they lie in the storage folder: ENGAGEMENT/VOLUME.raw, complete once it has that name, and beside it
// VOLUME.json, which says all that a restore needs.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../base/mod.ts';
import { writeSecret } from './secret-file.ts';
import { type BackupHeader, type FoundBackup, headerFlaw, parseHeader } from './stamps/mod.ts';

const IMAGE_END = '.raw';

export function backupPath(folder: string, volume: string, engagement: string): string {
  return join(folder, engagement, `${volume}${IMAGE_END}`);
}

export function headerPath(folder: string, volume: string, engagement: string): string {
  return join(folder, engagement, `${volume}.json`);
}

export async function keepHeader(folder: string, header: BackupHeader): Promise<void> {
  const { volume, backup } = header;
  await writeSecret(headerPath(folder, volume, backup.engagement), `${JSON.stringify(header, null, 2)}\n`);
}

/** Complete ones, whoever made them and whenever. A folder that is not there has none. */
export async function findBackups(folder: string): Promise<readonly FoundBackup[]> {
  const found: FoundBackup[] = [];
  for (const engagement of await foldersIn(folder)) {
    const names = await readdir(join(folder, engagement));
    for (const name of names.filter((one) => one.endsWith(IMAGE_END)).toSorted()) {
      const volume = name.slice(0, -IMAGE_END.length);
      const header = parseHeader<BackupHeader>(await textOf(headerPath(folder, volume, engagement)), headerFlaw);
      const isOwn = header?.backup.engagement === engagement && header.volume === volume;
      found.push({ volume, engagement, header: isOwn ? header : null });
    }
  }
  return found;
}

async function foldersIn(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).toSorted();
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return [];
    throw cause;
  }
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null;
    throw cause;
  }
}
