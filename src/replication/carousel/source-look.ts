// Is the source what was meant? What shows neither a partition table nor a file system is copied over data only after a
// question.
// A raw file or block device is looked at here; of everything else the producer says in the ring's header what it
// shows.
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { RingState } from '../ring/mod.ts';
import { type Contents, type IdentifiedSource, judgeFile, nameOfSource, parseContents } from '../source/mod.ts';
import type { CopyConfig } from './options.ts';
import type { RingWatch } from './watch.ts';

const WAIT_MS = 5;
/** Longest time that the first block of a reading that others began is waited for. */
const FRONT_MS_MAX = 10_000;

/** Whether a target could be one that is not overwritten without a question. Quick, and rather yes than no. */
export function mayHaveToAsk(config: CopyConfig): boolean {
  return !config.overwrite && config.targets.some((target) => /^nbds?(\+\w+)?:/.test(target) || existsSync(target));
}

export class SourceLook {
  readonly #source: IdentifiedSource;
  readonly #watch: RingWatch;
  readonly #config: CopyConfig;
  #doubt: Promise<string | null> | null = null;
  #aside: Contents | null = null;

  constructor(source: IdentifiedSource, watch: RingWatch, config: CopyConfig) {
    this.#source = source;
    this.#watch = watch;
    this.#config = config;
  }

  /** Why the source may be the wrong one, as a sentence; null where nothing speaks against it, or --yes was said. */
  doubt(): Promise<string | null> {
    if (this.#config.overwrite) return Promise.resolve(null);
    this.#doubt ??= this.#find();
    return this.#doubt;
  }

  async #find(): Promise<string | null> {
    const path = this.#rawPath();
    if (path !== null) return this.#sentence(judgeFile(path));
    const state = await this.#untilKnown();
    // A source that cannot be read is told of by those who wait for it.
    if (state !== RingState.ready) return null;
    const contents = await this.#untilSeen();
    return contents === null
      ? `what ${nameOfSource(this.#source.uri)} shows has not been looked at`
      : this.#sentence(contents);
  }

  #rawPath(): string | null {
    const { kind, format, path, fromBytes } = this.#source;
    const whole = (kind === 'file' || kind === 'block') && fromBytes === undefined;
    return whole && format === 'raw' ? (path ?? null) : null;
  }

  async #untilKnown(): Promise<number> {
    const { header } = this.#watch;
    for (;;) {
      const state = header.get('state');
      if (state !== RingState.starting || this.#config.signal?.aborted === true) return state;
      this.#watch.ensureProducer();
      await delay(WAIT_MS);
    }
  }

  /** Where those who began did not have to ask, the producer looks as soon as it has read the first block. */
  async #untilSeen(): Promise<Contents | null> {
    const { header } = this.#watch;
    const deadline = performance.now() + FRONT_MS_MAX;
    for (;;) {
      const contents = parseContents(header.getText('contents'));
      const over = performance.now() > deadline || this.#config.signal?.aborted === true;
      if (contents !== null || over || header.get('state') !== RingState.ready) return contents;
      this.#watch.ensureProducer();
      await delay(WAIT_MS);
    }
  }

  #sentence(contents: Contents | null): string | null {
    return contents === null || contents.recognised ? null : `${nameOfSource(this.#source.uri)} ${contents.text}`;
  }

  /** Looks at a file that nobody was asked about, while others copy: the result tells what it shows. */
  lookAside(): void {
    const path = this.#rawPath();
    if (path !== null && this.#tells) this.#aside = judgeFile(path);
  }

  /** Nobody has agreed to the source as it is, by --yes or when asked. */
  get #tells(): boolean {
    return !this.#config.overwrite && this.#doubt === null;
  }

  /** What the result tells of the source, once the copies have ended. */
  warnings(): readonly string[] {
    const { header } = this.#watch;
    const told = header.getText('warnings');
    const warnings = told === '' ? [] : told.split('\n');
    const contents = this.#aside ?? parseContents(header.getText('contents'));
    return !this.#tells || contents === null || contents.recognised ? warnings : [...warnings, contents.text];
  }
}
