// Whether the file of a store is whole, for whoever looks before a controller needs it.
import { existsSync, statSync } from 'node:fs';
import { storeFailure } from './sqlite-errors.ts';

/** Problems that are told; a file that is torn has many. */
const PROBLEMS_MAX = 3;

/**
 * Reads all of the file, and writes nothing to it. For a process that has no store on it.
 * @returns what is wrong, one line; null: nothing, or there is no file
 * @throws STORE_FAILED when it cannot be read
 */
export async function damageOfStore(path: string): Promise<string | null> {
  if (!existsSync(path)) return null;
  try {
    if (statSync(path).size === 0) return 'it is empty';
    const { DatabaseSync } = await import('@photostructure/sqlite');
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      // https://www.sqlite.org/pragma.html#pragma_integrity_check: one row "ok", or one for each problem.
      const rows = database.prepare(`PRAGMA integrity_check(${PROBLEMS_MAX})`).all() as readonly object[];
      const said = rows.map((row) => String(Object.values(row)[0]));
      return said.length === 1 && said[0] === 'ok' ? null : said.join('; ').replaceAll('\n', ' ');
    } finally {
      database.close();
    }
  } catch (error) {
    throw storeFailure(path, 'read', error);
  }
}
