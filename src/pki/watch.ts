// Follows a folder of certificates: whoever serves takes up renewed and revoked ones without a restart.
import { type FSWatcher, watch } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../base/mod.ts';

/** A renewal replaces several files; they are read when they have come to rest. */
const SETTLE_MS = 100;
/** Where the kernel tells nothing (network file systems, a folder that was replaced), changes are found this often. */
const POLL_MS = 30_000;

export interface WatchOptions {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Called one at a time, when files have changed; never for the state at the start. Must not reject. */
  readonly onChange: () => Promise<void>;
}

/** Never throws: a folder that is away is looked for again. */
export function watchCertificates(folder: string, { signal, onChange }: WatchOptions): void {
  if (!signal.aborted) new FolderWatch(folder, signal, onChange).start();
}

class FolderWatch {
  readonly #folder: string;
  readonly #signal: AbortSignal;
  readonly #onChange: () => Promise<void>;
  #watcher: FSWatcher | null = null;
  #settling: NodeJS.Timeout | null = null;
  #known: Promise<string>;
  #looking = false;
  #again = false;

  constructor(folder: string, signal: AbortSignal, onChange: () => Promise<void>) {
    this.#folder = folder;
    this.#signal = signal;
    this.#onChange = onChange;
    this.#known = stateOf(folder);
  }

  start(): void {
    this.#listen();
    const poll = setInterval(() => {
      this.#listen();
      void this.#look();
    }, POLL_MS).unref();
    this.#signal.addEventListener('abort', () => {
      clearInterval(poll);
      if (this.#settling !== null) clearTimeout(this.#settling);
      this.#watcher?.close();
    });
  }

  /** A watch belongs to the folder as it was when it began, so it is begun again now and then. */
  #listen(): void {
    this.#watcher?.close();
    try {
      this.#watcher = watch(this.#folder, { persistent: false }, () => {
        if (this.#settling !== null) clearTimeout(this.#settling);
        this.#settling = setTimeout(() => void this.#look(), SETTLE_MS).unref();
      });
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch (error) {
      // Away, or no watches left (fs.inotify.max_user_watches): it is looked at every now and then.
      if (errnoOf(error) === null) throw error;
      this.#watcher = null;
    }
  }

  async #look(): Promise<void> {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    while (this.#again && !this.#signal.aborted) {
      this.#again = false;
      const state = await stateOf(this.#folder);
      if (state === (await this.#known)) continue;
      this.#known = Promise.resolve(state);
      await this.#onChange();
    }
    this.#looking = false;
  }
}

/** Changes with every file that comes, goes or is replaced, rewritten or given other rights. */
async function stateOf(folder: string): Promise<string> {
  try {
    const names = (await readdir(folder)).filter((name) => !name.endsWith('.new')).sort();
    const facts = await Promise.all(
      names.map(async (name) => {
        const { ino, size, mtimeMs, ctimeMs } = await lstat(join(folder, name));
        return [name, ino, size, mtimeMs, ctimeMs].join(' ');
      }),
    );
    return facts.join('\n');
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === null) throw error;
    return errno;
  }
}
