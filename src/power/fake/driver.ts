// Power in memory, for simulations and for tests of what drives power: it lies, hangs, fails and ignores on demand.
import { setTimeout as delay } from 'node:timers/promises';
import { type Call, type EpochGate, UnderstudyError, withinTime } from '../../base/mod.ts';
import type { PowerDriver, PowerState } from '../contract.ts';

/**
 * What is wrong with the relay of one host. "hang": it does not answer. "fail": it refuses changes. "ignore": it accepts changes
 * and does nothing. "lie": it does what it is told and says something else.
 */
export type Fault =
  | { readonly kind: 'hang' }
  | { readonly kind: 'fail'; readonly reason: string }
  | { readonly kind: 'ignore' }
  | { readonly kind: 'lie'; readonly state: PowerState };

export interface FakePowerOptions {
  readonly hosts: readonly string[];
  readonly gate: EpochGate;
  /** @default 1000 */
  readonly timeoutMs?: number;
  /** How long a hanging relay is waited for; a simulation that owns time injects its own. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Told of every change of the real power, as it happens. */
  readonly onChange?: (host: string, on: boolean) => void;
}

export class FakePower implements PowerDriver {
  readonly name = 'fake';
  readonly #options: FakePowerOptions;
  readonly #timeoutMs: number;
  readonly #on = new Map<string, boolean>();
  readonly #starts = new Map<string, number>();
  readonly #faults = new Map<string, Fault>();

  constructor(options: FakePowerOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 1000;
    for (const host of options.hosts) this.#on.set(host, false);
  }

  /** Whether the host has power, whatever its relay says. */
  isOn(host: string): boolean {
    return this.#on.get(host) === true;
  }

  /** How often the host has been switched on from off. */
  startsOf(host: string): number {
    return this.#starts.get(host) ?? 0;
  }

  /** Power changes behind the relay's back, as by somebody in the machine room. */
  set(host: string, on: boolean): void {
    if (this.isOn(host) === on) return;
    this.#on.set(host, on);
    if (on) this.#starts.set(host, this.startsOf(host) + 1);
    this.#options.onChange?.(host, on);
  }

  /** null: nothing is wrong any more. */
  fault(host: string, fault: Fault | null): void {
    if (fault === null) this.#faults.delete(host);
    else this.#faults.set(host, fault);
  }

  async state(host: string, call: Call): Promise<PowerState> {
    return this.#asked(host, 'state', call, async (signal) => {
      const fault = this.#faults.get(host);
      if (fault?.kind === 'hang') {
        await this.#wait(signal);
        return 'unknown';
      }
      if (fault?.kind === 'lie') return fault.state;
      return this.isOn(host) ? 'on' : 'off';
    });
  }

  on(host: string, call: Call): Promise<void> {
    return this.#change(host, true, call);
  }

  off(host: string, call: Call): Promise<void> {
    return this.#change(host, false, call);
  }

  #change(host: string, on: boolean, call: Call): Promise<void> {
    const word = on ? 'on' : 'off';
    return this.#asked(host, word, call, async (signal) => {
      const fault = this.#faults.get(host);
      if (fault?.kind === 'hang') {
        await this.#wait(signal);
        throw new UnderstudyError('POWER_TIMEOUT', `power ${word} of ${host}: the relay does not answer`);
      }
      if (fault?.kind === 'fail')
        throw new UnderstudyError('POWER_FAILED', `power ${word} of ${host}: ${fault.reason}`);
      signal.throwIfAborted();
      if (fault?.kind !== 'ignore') this.set(host, on);
    });
  }

  #wait(signal: AbortSignal): Promise<void> {
    // Shorter than the bound of the whole call, which so is left to calls that hang elsewhere, as in the gate.
    const ms = Math.floor(this.#timeoutMs / 2);
    return this.#options.wait?.(ms, signal) ?? delay(ms, undefined, { signal });
  }

  #asked<T>(host: string, what: string, call: Call, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = {
      timeoutMs: this.#timeoutMs,
      code: 'POWER_TIMEOUT',
      what: () => `power ${what} of ${host}`,
    } as const;
    return withinTime(limit, call.signal, async (signal) => {
      if (!this.#on.has(host)) throw new UnderstudyError('HOST_UNKNOWN', `the fake relay has no host ${host}`);
      await this.#options.gate.admit(`power/${host}`, call.epoch);
      return work(signal);
    });
  }
}
