// STATE/api.json: where the running controller can be reached, for commands on the same machine.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, messageOf, UnderstudyError } from '../base/mod.ts';

export interface ApiAddress {
  /** Without path: "http://127.0.0.1:7780". */
  readonly url: string;
  /**
   * For commands of whoever may read the state folder, who may do everything there anyway: another one at each start.
   * null: written by a controller that gives none.
   */
  readonly token: string | null;
}

const FILE = 'api.json';

export async function writeAddress(state: string, address: ApiAddress): Promise<void> {
  await mkdir(state, { recursive: true, mode: 0o700 });
  const path = join(state, FILE);
  await writeFile(`${path}.new`, `${JSON.stringify(address)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function removeAddress(state: string): Promise<void> {
  await rm(join(state, FILE), { force: true });
}

/** @throws API_UNAVAILABLE when no controller says that it runs, or what is there cannot be read */
export async function readAddress(state: string): Promise<ApiAddress> {
  const path = join(state, FILE);
  try {
    const { url, token } = JSON.parse(await readFile(path, 'utf8')) as { url?: unknown; token?: unknown };
    if (typeof url === 'string' && URL.canParse(url)) return { url, token: typeof token === 'string' ? token : null };
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') {
      throw new UnderstudyError('API_UNAVAILABLE', `no controller runs with the state folder ${state} (understudy up)`);
    }
    throw new UnderstudyError('API_UNAVAILABLE', `${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
  throw new UnderstudyError('API_UNAVAILABLE', `${path} does not say where the controller is`);
}
