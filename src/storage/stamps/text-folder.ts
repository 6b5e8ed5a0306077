// Texts as files of one folder. A full file system does not keep them from being written: a stamp is a few hundred
// bytes, and the way down of an engagement needs them; so some room is kept for them.
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { readSecret, removeSecret, writeSecret } from '../secret-file.ts';
import type { Texts } from './contract.ts';

const END = '.json';
const RESERVE = 'reserve';
/** Some dozens of texts, each in a block of its own. */
const RESERVE_BYTES = 256 * 1024;

export class TextFolder implements Texts {
  readonly #folder: string;
  #reserved = false;

  /** @param folder made with mode 0700 by the first write */
  constructor(folder: string) {
    this.#folder = folder;
  }

  async names(): Promise<readonly string[]> {
    try {
      const names = await readdir(this.#folder);
      return names.filter((name) => name.endsWith(END)).map((name) => name.slice(0, -END.length));
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return [];
      throw this.#failed('read', cause);
    }
  }

  async read(name: string): Promise<string | null> {
    try {
      return await readSecret(this.#pathOf(name));
    } catch (cause) {
      throw this.#failed('read', cause);
    }
  }

  async write(name: string, text: string): Promise<void> {
    try {
      await this.#reserve();
      await writeSecret(this.#pathOf(name), text);
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOSPC' && errnoOf(cause) !== 'EDQUOT') throw this.#failed('written', cause);
      await this.#writeInReserve(name, text);
    }
  }

  async #writeInReserve(name: string, text: string): Promise<void> {
    try {
      await rm(join(this.#folder, RESERVE), { force: true });
      this.#reserved = false;
      await writeSecret(this.#pathOf(name), text);
    } catch (cause) {
      throw this.#failed('written', cause);
    }
  }

  /** Taken where there is room for it; tried again with each text. */
  async #reserve(): Promise<void> {
    if (this.#reserved) return;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = join(this.#folder, RESERVE);
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(Buffer.alloc(RESERVE_BYTES, 0xff));
      await file.sync();
      this.#reserved = true;
    } catch (cause) {
      if (errnoOf(cause) === null) throw cause;
      await rm(path, { force: true });
    } finally {
      await file.close();
    }
  }

  async remove(name: string): Promise<void> {
    try {
      await removeSecret(this.#pathOf(name));
    } catch (cause) {
      throw this.#failed('removed', cause);
    }
  }

  #pathOf(name: string): string {
    return join(this.#folder, `${name}${END}`);
  }

  #failed(what: string, cause: unknown): unknown {
    const errno = errnoOf(cause);
    if (errno === null) return cause;
    const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'STORAGE_SPACE' : 'STORAGE_FAILED';
    return new UnderstudyError(code, `stamps in ${this.#folder} cannot be ${what}: ${messageOf(cause)}`, { cause });
  }
}
