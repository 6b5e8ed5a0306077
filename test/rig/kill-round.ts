// One round of chance: several copies of one source start at different moments, and while they run, producer and consumers
// are killed, stopped and continued at moments drawn from a seed. Then everybody who was killed is resumed. Whatever
// happened, every target must end byte-identical, and nothing may stay.
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { limits, type Random, seededRandom } from '../../src/base/mod.ts';
import type { CopyResult } from '../../src/replication/mod.ts';
import { randomBytesOf } from './content.ts';
import type { CopyProcess } from './copy-process.ts';
import type { Stage } from './stage.ts';

const IMAGE_BYTES_MIN = 20 * limits.MIB;
/** A pass takes about one second at this speed. */
const BYTES_PER_SECOND = 24 * limits.MIB;
/** Starts and blows fall within this time. */
const SPAN_MS = 1300;
/** A producer that dies more often without reading anything is given up by design (carousel/watch.ts). */
const PRODUCER_KILLS_MAX = 3;

type Blow = 'SIGKILL' | 'SIGINT' | 'SIGSTOP';

interface Event {
  readonly atMs: number;
  /** Index of a copy, or null for the producer of the moment. */
  readonly victim: number | null;
  readonly blow: Blow;
  readonly stoppedMs: number;
}

interface Actor {
  readonly name: string;
  readonly atMs: number;
  readonly options: readonly string[];
  process: CopyProcess | null;
  /** Told to end: it need not complete by itself. */
  struck: boolean;
}

export class KillRound {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #content: Buffer;
  readonly #story: string[] = [];
  readonly #actors: readonly Actor[];
  readonly #events: readonly Event[];
  readonly #shape: readonly string[];
  readonly #startedMs = performance.now();
  #source = '';

  constructor(stage: Stage, seed: number) {
    this.#stage = stage;
    this.#random = seededRandom(seed);
    const { below } = this.#random;
    this.#content = randomBytesOf(seed, IMAGE_BYTES_MIN + below(4 * limits.MIB));
    const blockBytes = this.#pick([64, 128, 256, 512, 1024]) * limits.KIB;
    this.#shape = ['--block-size', String(blockBytes), '--buffer', String(blockBytes * this.#pick([4, 8, 16]))];
    this.#actors = Array.from({ length: 2 + below(3) }, (_, index) => this.#drawActor(index));
    this.#events = Array.from({ length: 2 + below(4) }, () => this.#drawEvent()).sort((a, b) => a.atMs - b.atMs);
  }

  /** What happened when, for the report of a failed round. */
  get story(): string {
    return this.#story.join('\n');
  }

  #pick<T>(choices: readonly T[]): T {
    const choice = choices[this.#random.below(choices.length)];
    if (choice === undefined) throw new Error('no choice');
    return choice;
  }

  #drawActor(index: number): Actor {
    const { below } = this.#random;
    const options: string[] = [];
    if (below(2) === 0) options.push('--verify');
    if (below(3) === 0) options.push('--join', 'newest');
    if (below(4) === 0) options.push('--on-slow', 'pace');
    return { name: `t${index}`, atMs: index === 0 ? 0 : below(SPAN_MS - 300), options, process: null, struck: false };
  }

  #drawEvent(): Event {
    const { below } = this.#random;
    const victim = below(2) === 0 ? null : below(this.#actors.length);
    const blow =
      victim === null
        ? this.#pick(['SIGKILL', 'SIGSTOP'] as const)
        : this.#pick(['SIGKILL', 'SIGINT', 'SIGSTOP'] as const);
    return { atMs: 100 + below(SPAN_MS), victim, blow, stoppedMs: 20 + below(700) };
  }

  async play(): Promise<void> {
    this.#source = await this.#makeSource();
    await Promise.all([
      ...this.#actors.map((actor) => this.#enter(actor)),
      ...this.#plannedEvents().map((event) => this.#strike(event)),
    ]);
    for (const actor of this.#actors) await this.#settle(actor);
    for (const actor of this.#actors) await this.#recover(actor);
    this.#judge();
  }

  #plannedEvents(): readonly Event[] {
    let producerKills = 0;
    return this.#events.filter(({ victim, blow }) => {
      if (victim === null && blow === 'SIGKILL') producerKills += 1;
      return producerKills <= PRODUCER_KILLS_MAX;
    });
  }

  /** A server, a file, or a compressed file: read at random, with a fingerprint, and only from the start. */
  async #makeSource(): Promise<string> {
    const { path } = this.#stage.write('golden.img', this.#content);
    const kind = this.#pick(['nbd', 'nbd', 'file', 'file', 'gzip']);
    this.#tell(`source ${kind}, ${this.#content.length} bytes, ${this.#shape.join(' ')}`);
    if (kind === 'nbd') {
      const rate = `rate=${BYTES_PER_SECOND * 8}`;
      const server = await this.#stage.nbdkit({ filters: ['rate'], plugin: ['file', path, rate, 'burstiness=0.1'] });
      return server.uri;
    }
    if (kind === 'file') return path;
    this.#stage.tool('gzip', 'gzip', ['-k', '-1', path]);
    return `${path}.gz`;
  }

  #tell(what: string): void {
    this.#story.push(`${Math.round(performance.now() - this.#startedMs)} ms: ${what}`);
  }

  #copy(actor: Actor, ...more: readonly string[]): CopyProcess {
    const limit = this.#source.startsWith('nbd') ? [] : ['--limit', String(BYTES_PER_SECOND)];
    const args = [...this.#shape, ...limit, ...actor.options, ...more, this.#source, this.#stage.target(actor.name)];
    const process = this.#stage.copyJson(...args);
    this.#tell(`${actor.name} starts as ${process.pid}: ${[...actor.options, ...more].join(' ')}`);
    return process;
  }

  async #enter(actor: Actor): Promise<void> {
    await delay(actor.atMs);
    actor.process = this.#copy(actor);
  }

  async #strike({ atMs, victim, blow, stoppedMs }: Event): Promise<void> {
    await delay(atMs);
    const actor = victim === null ? null : this.#actors[victim];
    const pid = victim === null ? this.#stage.producers[0]?.pid : actor?.process?.pid;
    if (pid === undefined || actor?.process?.running === false) return;
    if (actor !== null && actor !== undefined && blow !== 'SIGSTOP') actor.struck = true;
    this.#tell(`${blow} to ${actor?.name ?? 'producer'} ${pid}`);
    if (!send(pid, blow) || blow !== 'SIGSTOP') return;
    await delay(stoppedMs);
    if (send(pid, 'SIGCONT')) this.#tell(`SIGCONT to ${pid}`);
  }

  async #settle(actor: Actor): Promise<void> {
    const process = actor.process;
    if (process === null) throw new Error(`${actor.name} was never started`);
    const { status, signal } = await process.ended;
    this.#tell(`${actor.name} ended: ${status ?? signal} ${process.stdout}${process.stderr}`);
    if (!actor.struck && status !== 0) throw new Error(`${actor.name} was not struck, and yet ended with ${status}`);
    if (actor.struck && status !== 0 && status !== 130 && signal === null) {
      throw new Error(`${actor.name} ended with ${status}, which no blow explains`);
    }
    this.#judgeFinal(actor);
  }

  /** Goes on with what was interrupted; a copy killed before its first record is begun again. */
  async #recover(actor: Actor): Promise<void> {
    if (actor.process?.child.exitCode === 0) return;
    const resumed = this.#copy(actor, '--yes', '--resume');
    const { status } = await resumed.ended;
    this.#tell(`${actor.name} resumed: ${status} ${resumed.stdout}${resumed.stderr}`);
    if (status === 0) return;
    const code = (JSON.parse(resumed.stdout) as CopyResult).targets[0]?.error?.code;
    if (code !== 'RESUME_NO_RECORD') throw new Error(`${actor.name} could not be resumed: ${code}`);
    await this.#copy(actor, '--yes').good();
  }

  /** Under a final name there is nothing or a whole image, at any time. */
  #judgeFinal(actor: Actor): void {
    if (!existsSync(this.#stage.target(actor.name))) return;
    const at = this.#stage.difference(actor.name, this.#content);
    if (at !== null) throw new Error(`${actor.name} differs from the source at ${at}`);
  }

  #judge(): void {
    for (const actor of this.#actors) this.#judgeFinal(actor);
    const names = this.#actors.map(({ name }) => name).join(' ');
    if (this.#stage.targets.join(' ') !== names)
      throw new Error(`there is ${this.#stage.targets.join(' ')}, not ${names}`);
  }
}

/** False when the process has gone. */
function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
