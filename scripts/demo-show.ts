// The course of the copy demo: who is asked for when, who is killed, and what is seen meanwhile.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatDuration, messageOf } from '../src/base/mod.ts';
import type { RunningConsumer, RunningCopy } from '../src/replication/mod.ts';
import type { CopyLine, Screen } from './demo-screen.ts';
import { CopyProcess, runningCopy } from './demo-stage.ts';

/** Seconds after the first at which each copy is asked for. */
export const ASKED_AT = [0, 3, 6, 9, 12];
/** The one that is killed, how far it is then, and for how long it lies dead. */
const VICTIM = 1;
const VICTIM_SHARE = 0.3;
const VICTIM_REST_SECONDS = 4;
const LOOK_INTERVAL_MS = 400;
const TIMEOUT_SECONDS = 110;

/** One of the five: a target, and the process that writes it now. */
export class Part {
  readonly name: string;
  readonly target: string;
  readonly askedAt: number;
  process: CopyProcess | null = null;
  startShare: number | null = null;
  doneShare = 0;
  state = '';
  killedAt: number | null = null;
  resumedAt: number | null = null;
  doneAt: number | null = null;
  #wanted = 0;

  constructor(index: number, folder: string) {
    this.name = `disk-${index + 1}`;
    this.target = join(folder, `${this.name}.img`);
    this.askedAt = ASKED_AT[index] ?? 0;
    this.state = `asked for after ${this.askedAt}s`;
  }

  /** Takes in what `understudy copies` says of this part. */
  observe(consumer: RunningConsumer, running: RunningCopy): void {
    const total = Math.max(1, running.blocksTotal);
    if (this.startShare === null && consumer.startBlock >= 0) this.startShare = consumer.startBlock / total;
    this.#wanted = Math.max(this.#wanted, consumer.blocksLeft);
    if (this.#wanted > 0) this.doneShare = 1 - consumer.blocksLeft / this.#wanted;
    const joined = this.startShare !== null && this.startShare > 0;
    const begin = joined ? `, joined at ${Math.floor((this.startShare ?? 0) * 100)} %` : '';
    const doing = consumer.state === 'waiting' ? 'waiting for the source' : consumer.state;
    this.state = `${doing}${this.resumedAt === null ? begin : ', resumed'}`;
  }

  line(): CopyLine {
    return { name: this.name, startShare: this.startShare, doneShare: this.doneShare, state: this.state };
  }
}

export class Show {
  readonly #screen: Screen;
  readonly #abort: AbortSignal;
  readonly #uri: string;
  readonly #parts: readonly Part[];
  readonly #startedMs = performance.now();
  #failure: Error | null = null;

  constructor(screen: Screen, uri: string, parts: readonly Part[], abort: AbortSignal) {
    this.#screen = screen;
    this.#uri = uri;
    this.#parts = parts;
    this.#abort = abort;
  }

  #seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  /** Starts, looks and draws until every part has its copy, or throws at the first that fails. */
  async play(): Promise<void> {
    while (this.#parts.some(({ doneAt }) => doneAt === null)) {
      this.#abort.throwIfAborted();
      if (this.#seconds() > TIMEOUT_SECONDS) throw new Error(`not done after ${TIMEOUT_SECONDS}s`);
      for (const part of this.#parts) this.#cue(part);
      await this.#look();
      this.#screen.draw(
        this.#seconds(),
        this.#parts.map((part) => part.line()),
      );
      await delay(LOOK_INTERVAL_MS);
    }
    this.#screen.keep();
  }

  /** What is due for a part: to be asked for, to be killed, to be resumed. */
  #cue(part: Part): void {
    const now = this.#seconds();
    if (part.process === null && part.killedAt === null && now >= part.askedAt) this.#ask(part, []);
    const victim = part === this.#parts[VICTIM];
    if (victim && part.process !== null && part.killedAt === null && part.doneShare >= VICTIM_SHARE) {
      part.killedAt = now;
      part.state = 'killed with SIGKILL';
      this.#screen.say(`  ${formatDuration(now).padStart(6)}  ${part.name} is killed with SIGKILL; the others go on`);
      part.process.kill();
    }
    if (part.killedAt !== null && part.resumedAt === null && now >= part.killedAt + VICTIM_REST_SECONDS) {
      part.resumedAt = now;
      this.#screen.say(
        `  ${formatDuration(now).padStart(6)}  ${part.name} is resumed: it needs only what it does not have`,
      );
      this.#ask(part, ['--resume']);
    }
  }

  #ask(part: Part, options: readonly string[]): void {
    const copy = new CopyProcess(this.#uri, part.target, options);
    part.process = copy;
    part.state = 'starting';
    copy.ended.then(
      ({ status, signal }) => this.#ended(part, copy, signal ?? `status ${status}`, status === 0),
      (error: unknown) => this.#ended(part, copy, messageOf(error), false),
    );
  }

  /** Notes how a copy ended; `play` sees it at its next look. */
  #ended(part: Part, copy: CopyProcess, how: string, complete: boolean): void {
    if (how === 'SIGKILL' && part.killedAt !== null && part.resumedAt === null) {
      // A half image must never be found under the name of a whole one.
      const half = existsSync(`${part.target}.partial`) && !existsSync(part.target);
      if (!half) this.#failure ??= new Error(`${part.name}: a killed copy must leave its .partial file and no other`);
      return;
    }
    const result = copy.result()?.targets[0];
    if (complete && result?.ok === true && result.verified === true) {
      part.doneAt = this.#seconds();
      part.doneShare = 1;
      part.startShare ??= 0;
      part.state = 'complete and verified';
      return;
    }
    this.#failure ??= new Error(`${part.name} ended with ${how}: ${result?.error?.message ?? copy.errors}`);
  }

  async #look(): Promise<void> {
    const running = await runningCopy(this.#uri);
    if (this.#failure !== null) throw this.#failure;
    for (const consumer of running?.consumers ?? []) {
      const part = this.#parts.find(({ process, doneAt }) => process?.pid === consumer.pid && doneAt === null);
      const lying = part?.killedAt !== null && part?.resumedAt === null;
      if (running !== null && part !== undefined && !lying) part.observe(consumer, running);
    }
  }
}
