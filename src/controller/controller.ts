// The controller's life: it takes the lease, watches the store, keeps the reconcilers at work, and stops when the lease is gone.
import { codeOf, messageOf, UnderstudyError } from '../base/mod.ts';
import type { Lease } from '../store/mod.ts';
import type { ControllerApi } from './contract.ts';
import { reconcileEngagement } from './engagement.ts';
import { reconcileHosts } from './hosts.ts';
import { Journal } from './journal.ts';
import { reconcileMetrics } from './observe.ts';
import { Operations } from './operations.ts';
import { type Context, type ControllerParts, serviceOf } from './parts.ts';
import { WorkQueue } from './queue.ts';
import { type Engagement, isUp, keys } from './record.ts';
import { reconcileService } from './service.ts';
import { World } from './world.ts';

const LEASE = 'controller';
const LEASE_MS = 10_000;
const RENEW_MS = 3000;
const HOSTS = 'hosts';

export interface Controller extends ControllerApi {
  /** Resolves when it no longer controls: with the reason, or with null after `stop`. Never rejects. */
  readonly ended: Promise<Error | null>;
  /** Finishes nothing, loses nothing: what is under way is stopped, and goes on when a controller starts again. */
  stop(): Promise<void>;
}

/**
 * Takes over the installation. One controller at a time: a second one is refused while the first renews its lease.
 * @throws CONTROLLER_RUNNING, STORE_FAILED
 */
export async function startController(parts: ControllerParts): Promise<Controller> {
  // An earlier life of this holder may have left the lease behind; giving it up first makes the new epoch a higher one in any case.
  const left = await parts.store.lease(LEASE, parts.holder, LEASE_MS);
  await left?.release();
  const lease = left === null ? null : await parts.store.lease(LEASE, parts.holder, LEASE_MS);
  if (lease === null) {
    throw new UnderstudyError('CONTROLLER_RUNNING', 'another controller has the lease, or had it until a moment ago');
  }
  const life = new Life(parts, lease);
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
  #renewal: Promise<void> = Promise.resolve();
  #watching: Promise<void> = Promise.resolve();
  #over: Promise<void> | null = null;

  constructor(parts: ControllerParts, lease: Lease) {
    this.#parts = parts;
    this.#lease = lease;
    this.#journal = new Journal(parts);
    this.#context = { parts, epoch: lease.epoch, signal: this.#abort.signal };
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
    for (const { key, value } of await this.#parts.store.list<Readonly<Record<string, unknown>>>(keys.learned)) {
      const [, service = '', host = ''] = key.split('/');
      this.#world.own.recall(service, host, value);
    }
    await this.#journal.event({
      kind: 'controller',
      subject: 'controller',
      text: `${holder} controls, epoch ${this.#lease.epoch}`,
      data: { holder, epoch: this.#lease.epoch },
    });
    this.#watching = this.#watch();
    this.#queue.add(HOSTS);
    for (const [name, { signals }] of config.services) {
      this.#queue.add(`service/${name}`);
      if (signals.some(({ source }) => source.kind === 'prometheus')) this.#queue.add(`metrics/${name}`);
    }
  }

  controller(): Controller {
    const operations = new Operations({
      context: this.#context,
      world: this.#world,
      journal: this.#journal,
      name: this.#parts.holder,
      sinceMs: this.#parts.wall(),
      wake: (key) => this.#queue.add(key),
    });
    return Object.assign(operations, { ended: this.#ended, stop: () => this.#end(null) });
  }

  async #work(key: string, stop: AbortSignal): Promise<{ readonly inMs: number } | null> {
    const context = { ...this.#context, signal: AbortSignal.any([this.#abort.signal, stop]) };
    if (key === HOSTS) return reconcileHosts(context, this.#world, this.#journal);
    const [kind, name] = [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)];
    if (kind === 'service') {
      return reconcileService(context, this.#world, this.#journal, serviceOf(this.#parts.config, name));
    }
    if (kind === 'metrics') return reconcileMetrics(context, this.#world, serviceOf(this.#parts.config, name));
    return reconcileEngagement(context, this.#world, this.#journal, name);
  }

  async #failed(key: string, error: unknown): Promise<void> {
    const code = codeOf(error);
    if (code === 'STORE_CONFLICT') return;
    // A fencing token that is refused means that somebody else controls: nothing may be done any more.
    if (code === 'EPOCH_STALE' || code === 'LEASE_LOST') return void this.#end(error as Error);
    // A defect must be seen, not tried again for ever.
    if (code === null) return void this.#end(error instanceof Error ? error : new Error(messageOf(error)));
    const text = `${key}: ${messageOf(error)} (${code})`;
    await this.#journal.event({ kind: 'error', subject: key, text, data: { code } });
  }

  /** Every change of an engagement has it looked at; one that is to end is stopped in what it does. */
  async #watch(): Promise<void> {
    try {
      for await (const { key, value } of this.#parts.store.watch<Engagement>(keys.engagements, this.#abort.signal)) {
        if (value === null || value.ended) continue;
        if (value.goal === 'release' && isUp(value.phase)) this.#queue.interrupt(key);
        this.#queue.add(key);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) void this.#end(error instanceof Error ? error : new Error(messageOf(error)));
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
