// Power in memory, for simulations and for tests of what drives power: it lies, hangs, fails and ignores on demand.
import { setTimeout as delay } from 'node:timers/promises';
import { type Call, type EpochGate, UnderstudyError, withinTime } from '../../base/mod.ts';
import type { PowerDriver, PowerState } from '../contract.ts';

/**
 * What is wrong with the relay of one host. "hang": it does not answer. "silent": it cannot be reached, which is known
 * at once. "fail": it refuses changes. "ignore": it accepts changes and does nothing. "lie": it does what it is told
 * and says something else, always or so many times. "early": once told to cut the power, it says "off" so many times
 * before it cuts it.
 */
export type Fault =
  | { readonly kind: 'hang' }
  | { readonly kind: 'silent' }
  | { readonly kind: 'fail'; readonly reason: string }
  | { readonly kind: 'ignore' }
  | { readonly kind: 'lie'; readonly state: PowerState; readonly times?: number }
  | { readonly kind: 'early'; readonly times: number };

export interface FakePowerOptions {
  readonly hosts: readonly string[];
  readonly gate: EpochGate;
  /** @default 1000 */
  readonly timeoutMs?: number;
  /** How long a hanging relay is waited for; a simulation that owns time injects its own. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Told of every change of the real power, as it happens. */
  readonly onChange?: (host: string, on: boolean) => void;
  /** Asked at each call where `fault` has set nothing. @default nothing is wrong */
  readonly faultOf?: (host: string) => Fault | null;
}

export class FakePower implements PowerDriver {
  readonly name = 'fake';
  readonly #options: FakePowerOptions;
  readonly #timeoutMs: number;
  readonly #on = new Map<string, boolean>();
  readonly #starts = new Map<string, number>();
  readonly #faults = new Map<string, Fault>();
  /** Hosts whose power is to be cut, and how often "off" is said before. */
  readonly #ending = new Map<string, number>();

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
    this.#ending.delete(host);
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
      const fault = this.#faultOf(host);
      if (fault?.kind === 'hang') await this.#wait(signal);
      if (fault?.kind === 'hang' || fault?.kind === 'silent') return 'unknown';
      if (fault?.kind === 'lie') return this.#lie(host, fault);
      return this.#isEnding(host) || !this.isOn(host) ? 'off' : 'on';
    });
  }

  #faultOf(host: string): Fault | null {
    return this.#faults.get(host) ?? this.#options.faultOf?.(host) ?? null;
  }

  #lie(host: string, fault: Extract<Fault, { kind: 'lie' }>): PowerState {
    if (fault.times !== undefined) this.fault(host, fault.times > 1 ? { ...fault, times: fault.times - 1 } : null);
    return fault.state;
  }

  /** Whether "off" is said although the host still has power; once it was said often enough, the power is cut. */
  #isEnding(host: string): boolean {
    const left = this.#ending.get(host);
    if (left === undefined) return false;
    if (left === 0) this.set(host, false);
    else this.#ending.set(host, left - 1);
    return left > 0;
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
      const fault = this.#faultOf(host);
      if (fault?.kind === 'hang') {
        await this.#wait(signal);
        throw new UnderstudyError('POWER_TIMEOUT', `power ${word} of ${host}: the relay does not answer`);
      }
      if (fault?.kind === 'fail' || fault?.kind === 'silent') {
        const reason = fault.kind === 'fail' ? fault.reason : 'the relay cannot be reached';
        throw new UnderstudyError('POWER_FAILED', `power ${word} of ${host}: ${reason}`);
      }
      signal.throwIfAborted();
      if (fault?.kind === 'early' && !on && this.isOn(host)) this.#ending.set(host, fault.times);
      else if (fault?.kind !== 'ignore') this.set(host, on);
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
