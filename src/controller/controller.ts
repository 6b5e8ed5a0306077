// The controller's life: it takes the lease, watches the store, keeps the reconcilers at work, and stops when the lease
// is gone.
import { codeOf, messageOf, UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import type { Change, Lease } from '../store/mod.ts';
import type { ControllerApi } from './contract.ts';
import { Journal } from './journal.ts';
import { look } from './look.ts';
import { asksPrometheus } from './observe.ts';
import { Operations } from './operations.ts';
import type { Context, ControllerParts } from './parts.ts';
import { WorkQueue } from './queue.ts';
import { type Engagement, isUp, keys } from './record.ts';
import { flawOf } from './record-kinds.ts';
import { listRecords } from './records.ts';
import { letGo, type Reconfiguration, standingOf } from './reload.ts';
import { Suspects } from './suspects.ts';
import { Tries } from './tries.ts';
import { whose } from './uncaught.ts';
import { advising, findUnsettled, keepEpoch } from './unsettled.ts';
import { World } from './world.ts';

const LEASE = 'controller';
const LEASE_MS = 10_000;
const RENEW_MS = 3000;
const HOSTS = 'hosts';
const RECORDS = 'records';
/** How long the changes of engagements are left alone after they could not be read. */
const WATCH_AGAIN_MS = 1000;

export interface Controller extends ControllerApi {
  /** Resolves when it no longer controls: with the reason, or with null after `stop`. Never rejects. */
  readonly ended: Promise<Error | null>;
  /** Why the store is not believed, so that nothing is done; null: it is. */
  readonly unsettled: string | null;
  /**
   * Takes an error that nobody caught, of which the process was told: it fails the work that began what threw it, and
   * is told once. To be called in the context in which Node.js tells of it.
   */
  uncaught(error: unknown): void;
  /** Tells a defect of a part beside the controller, once. @param subject "request GET /v1/status" */
  defect(subject: string, error: unknown): void;
  /** What stands against another configuration, a line each; nothing: it may be taken. */
  objections(next: Configuration): Promise<readonly string[]>;
  /**
   * Takes another configuration, or none of it. @throws RELOAD_REFUSED with what stands against it, and what `become`
   * throws
   */
  reconfigure(change: Reconfiguration): Promise<void>;
  /** Finishes nothing, loses nothing: what is under way is stopped, and goes on when a controller starts again. */
  stop(): Promise<void>;
}

/**
 * Takes over the installation. One controller at a time: a second one is refused while the first renews its lease.
 * @throws CONTROLLER_RUNNING, STORE_FAILED
 */
export async function startController(parts: ControllerParts): Promise<Controller> {
  const unsettled = await findUnsettled(parts);
  const above = (await parts.floor?.read())?.epoch ?? 0;
  // An earlier life of this holder may have left the lease behind; giving it up first makes the new epoch a higher one
  // in any case.
  const left = await parts.store.lease(LEASE, parts.holder, LEASE_MS);
  await left?.release();
  const lease = left === null ? null : await parts.store.lease(LEASE, parts.holder, LEASE_MS, above);
  if (lease === null) {
    throw new UnderstudyError('CONTROLLER_RUNNING', 'another controller has the lease, or had it until a moment ago');
  }
  await keepEpoch(parts, lease.epoch, unsettled === null);
  const life = new Life(unsettled === null ? parts : { ...parts, config: advising(parts.config) }, lease, unsettled);
  await life.begin();
  return life.controller();
}

class Life {
  readonly #parts: ControllerParts;
  readonly #lease: Lease;
  readonly #abort = new AbortController();
  readonly #world = new World();
  readonly #journal: Journal;
  readonly #queue: WorkQueue;
  readonly #ended: Promise<Error | null>;
  #resolveEnded: (error: Error | null) => void = () => undefined;
  readonly #context: Context;
  readonly #tries: Tries;
  readonly #suspects = new Suspects();
  #renewal: Promise<void> = Promise.resolve();
  #watching: Promise<void> = Promise.resolve();
  #over: Promise<void> | null = null;

  constructor(parts: ControllerParts, lease: Lease, unsettled: string | null) {
    this.#parts = parts;
    this.#lease = lease;
    this.#journal = new Journal(parts);
    this.#tries = new Tries(parts.store, parts.wall);
    const believed = unsettled === null ? {} : { unsettled };
    this.#context = { parts, epoch: lease.epoch, signal: this.#abort.signal, ...believed };
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#queue = new WorkQueue(
      (key, signal) => this.#work(key, signal),
      (key, error) => this.#failed(key, error),
      parts.pause,
    );
  }

  async begin(): Promise<void> {
    const { config, holder } = this.#parts;
    this.#renewal = this.#renew();
    await this.#journal.recall(config.services.keys());
    const learned = await listRecords<Readonly<Record<string, unknown>>>(this.#parts.store, keys.learned);
    for (const { key, value } of learned.usable) {
      const [, service = '', host = ''] = key.split('/');
      this.#world.own.recall(service, host, value);
    }
    await this.#journal.event({
      kind: 'controller',
      subject: 'controller',
      text: `${holder} controls, epoch ${this.#lease.epoch}`,
      data: { holder, epoch: this.#lease.epoch },
    });
    await this.#tellUnsettled();
    this.#watching = this.#watch();
    this.#lookAtAll();
  }

  #lookAtAll(): void {
    this.#queue.add(RECORDS);
    this.#queue.add(HOSTS);
    for (const [name, service] of this.#parts.config.services) {
      this.#queue.add(`service/${name}`);
      if (asksPrometheus(service)) this.#queue.add(`metrics/${name}`);
    }
  }

  async #tellUnsettled(): Promise<void> {
    const { unsettled } = this.#context;
    if (unsettled === undefined) return;
    const text = `every service is in mode advise, and nothing is done, before "understudy recover" is run: ${unsettled}`;
    await this.#journal.event({ kind: 'controller', subject: 'controller', text, data: { unsettled } });
  }

  async #objections(next: Configuration): Promise<readonly string[]> {
    return (await standingOf(this.#context, this.#world, next)).objections;
  }

  async #reconfigure({ next, changes, become }: Reconfiguration): Promise<void> {
    const { objections, leaving } = await standingOf(this.#context, this.#world, next);
    if (objections.length > 0) throw new UnderstudyError('RELOAD_REFUSED', objections.join('\n'));
    await become(() => letGo(this.#context, leaving));
    await this.#journal.event({
      kind: 'controller',
      subject: 'controller',
      text: `understudy.yaml was read again: ${changes.length === 0 ? 'nothing has changed' : changes.join('; ')}`,
      data: { changes },
    });
    this.#lookAtAll();
  }

  controller(): Controller {
    const operations = new Operations({
      context: this.#context,
      world: this.#world,
      journal: this.#journal,
      tries: this.#tries,
      name: this.#parts.holder,
      sinceMs: this.#parts.wall(),
      wake: (key) => this.#queue.add(key),
      interrupt: (key) => this.#queue.interrupt(key),
    });
    return Object.assign(operations, {
      ended: this.#ended,
      unsettled: this.#context.unsettled ?? null,
      stop: () => this.#end(null),
      objections: (next: Configuration) => this.#objections(next),
      reconfigure: (change: Reconfiguration) => this.#reconfigure(change),
      uncaught: (error: unknown) => this.#uncaught(error),
      defect: (subject: string, error: unknown) => this.#tell(subject, error),
    });
  }

  #work(key: string, stop: AbortSignal): ReturnType<typeof look> {
    const context = { ...this.#context, signal: AbortSignal.any([this.#abort.signal, stop]) };
    return this.#look(context, key);
  }

  async #look(context: Context, key: string): ReturnType<typeof look> {
    const parts = { world: this.#world, journal: this.#journal, tries: this.#tries, suspects: this.#suspects };
    const again = await look(context, parts, key);
    if (again?.failed !== true) this.#journal.well(key);
    return again;
  }

  /** A defect is told like any other error: its name is looked at again, later each time, and all others go on. */
  async #failed(key: string, error: unknown): Promise<void> {
    const code = codeOf(error);
    if (code === 'STORE_CONFLICT') return;
    // A fencing token that is refused means that somebody else controls, and nothing may be done any more; unless the
    // lease is still ours: then nobody can have given the higher one.
    const replaced = code === 'LEASE_LOST' || (code === 'EPOCH_STALE' && !(await this.#holdsLease()));
    if (replaced) return void this.#end(error as Error);
    await this.#journal.trouble(key, error);
  }

  async #holdsLease(): Promise<boolean> {
    try {
      await this.#lease.renew();
      return true;
    } catch (error) {
      // A store that is away ends the controller when the lease has run out.
      return codeOf(error) !== 'LEASE_LOST';
    }
  }

  #uncaught(error: unknown): void {
    const subject = whose();
    if (subject === null || !this.#queue.fail(subject, error)) this.#tell(subject ?? 'controller', error);
  }

  /** An error that cannot be told is in the log all the same. */
  #tell(subject: string, error: unknown): void {
    void this.#journal.trouble(subject, error).catch(() => undefined);
  }

  /** Every change of an engagement has it looked at; one that is to end is stopped in what it does. */
  async #watch(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        for await (const change of this.#parts.store.watch<Engagement>(keys.engagements, this.#abort.signal)) {
          this.#changed(change);
        }
      } catch (error) {
        // Begun again it tells of all engagements as they are: nothing is missed.
        if (!this.#abort.signal.aborted) this.#tell('engagements', error);
      }
      await this.#parts.pause(WATCH_AGAIN_MS, this.#abort.signal);
    }
  }

  #changed(change: Change<Engagement>): void {
    const engagement = usableOf(change);
    if (engagement === 'unusable') this.#queue.add(RECORDS);
    else if (engagement !== null && !engagement.ended) {
      if (engagement.goal === 'release' && isUp(engagement.phase)) this.#queue.interrupt(change.key);
      this.#queue.add(change.key);
    }
  }

  /** Its time counts from before the call: a renewal whose answer came late is no renewal. */
  async #renew(): Promise<void> {
    let safeUntil = performance.now() + LEASE_MS;
    while (!this.#abort.signal.aborted) {
      await this.#parts.pause(RENEW_MS, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      const asked = performance.now();
      try {
        await this.#lease.renew();
        safeUntil = asked + LEASE_MS;
      } catch (error) {
        const lost = codeOf(error) === 'LEASE_LOST' || performance.now() >= safeUntil;
        if (lost) return void this.#end(error instanceof Error ? error : new Error(messageOf(error)));
      }
    }
  }

  #end(error: Error | null): Promise<void> {
    this.#over ??= this.#finish(error);
    return this.#over;
  }

  async #finish(error: Error | null): Promise<void> {
    this.#abort.abort();
    await this.#queue.stop();
    await Promise.allSettled([this.#renewal, this.#watching]);
    if (error === null) await Promise.allSettled([this.#lease.release()]);
    this.#resolveEnded(error);
  }
}

function usableOf(change: Change<Engagement>): Engagement | null | 'unusable' {
  try {
    if (change.value !== null && flawOf(change.key, change.value) !== null) return 'unusable';
    return change.value;
  } catch (error) {
    if (codeOf(error) !== 'RECORD_UNUSABLE') throw error;
    return 'unusable';
  }
}
