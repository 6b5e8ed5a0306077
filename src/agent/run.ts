// The agent from start to end: a clock tick a second for the sensors, a conversation with the controller beside it, and one
// line for people whenever something has changed. Seed rows P16, P23.
import { type Clock, UnderstudyError } from '../base/mod.ts';
import { Bell, pause } from './bell.ts';
import { HostSensors } from './host-sensors.ts';
import { Learned } from './learned.ts';
import { LinkAccount } from './link-account.ts';
import { Outbox } from './outbox.ts';
import type { Report } from './protocol.ts';
import { type Delivery, Reporter } from './reporter.ts';
import type { AgentSettings } from './settings.ts';
import { type Standing, Watch } from './watch.ts';

const TICK_MS = 1000;
const SAVE_EVERY_MS = 600_000;
/** Time since 1970 as the host's clock had it at the start, and steady since: rhythms need the hour, and nothing may step. */
const hostClock: Clock = { nowMs: () => performance.timeOrigin + performance.now() };
/** For the last word; whoever stops the agent waits for it. */
const FAREWELL_TIMEOUT_MS = 2000;

export interface AgentOptions {
  readonly settings: AgentSettings;
  /** Folder in which is kept what was learned; null: nothing is. @default null */
  readonly stateFolder?: string | null;
  /** Ends the agent in good order. */
  readonly signal: AbortSignal;
  /** One measurement and one report of it, then the end. @default false */
  readonly once?: boolean;
  /** @default "/proc" */
  readonly procFolder?: string;
  /** Control group that is the host, as for HostPlaces. @default null */
  readonly cgroupFolder?: string | null;
  /** A line for people: what began, what changed, what is wrong. */
  readonly say: (line: string) => void;
  /** Every report and what became of it. */
  readonly onReport?: (report: Report, delivery: Delivery) => void;
}

/**
 * Runs until the signal is given; then tells the controller so, within two seconds, and resolves. A controller that is away or
 * refuses is said and tried again, without end.
 * @throws with `once` only: API_UNAUTHORIZED, API_FORBIDDEN, API_NOT_FOUND, API_UNAVAILABLE, INTERRUPTED
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { settings, say } = options;
  for (const warning of settings.warnings) say(`warning: ${warning}`);
  const agent = new Agent(options);
  if (options.once === true) return agent.once();
  say(`${settings.host} reports to ${settings.controller}`);
  await agent.run();
  say('stopped');
}

class Agent {
  readonly #options: AgentOptions;
  readonly #signal: AbortSignal;
  readonly #bell = new Bell();
  readonly #outbox = new Outbox();
  readonly #watch: Watch;
  readonly #reporter: Reporter;
  readonly #link: LinkAccount;
  readonly #learned: Learned;
  #savedMs = hostClock.nowMs();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#signal = options.signal;
    this.#link = new LinkAccount(hostClock, options.say);
    const { procFolder = '/proc', cgroupFolder = null, stateFolder = null, settings, signal } = options;
    this.#learned = new Learned(stateFolder, options.say);
    this.#watch = new Watch({
      sensors: new HostSensors({ procFolder, cgroupFolder }, hostClock),
      clock: hostClock,
      signal,
      command: settings.command,
      learned: this.#learned,
      onChange: (standing, isVerdict) => this.#changed(standing, isVerdict),
    });
    this.#reporter = new Reporter({
      settings: options.settings,
      watch: this.#watch,
      outbox: this.#outbox,
      bell: this.#bell,
      clock: hostClock,
      wallMs: Date.now,
      onDelivery: (report, delivery) => {
        // With `once` the failure is the result.
        if (options.once !== true) this.#link.heard(report, delivery);
        options.onReport?.(report, delivery);
      },
    });
  }

  async run(): Promise<void> {
    const broken = new AbortController();
    const end = (): void => broken.abort();
    this.#signal.addEventListener('abort', end, { once: true });
    if (this.#signal.aborted) end();
    try {
      // A defect in one ends the other too, and then the process: whoever supervises it starts it anew.
      await Promise.all(
        [this.#tick(broken.signal), this.#reporter.run(broken.signal)].map((part) => part.finally(end)),
      );
    } finally {
      this.#signal.removeEventListener('abort', end);
    }
    this.#save();
    await this.#sayFarewell();
  }

  #save(): void {
    this.#watch.remember();
    this.#learned.save();
    this.#savedMs = hostClock.nowMs();
  }

  /** The first report fetches what to watch, the second tells what was seen. */
  async once(): Promise<void> {
    await this.#insist();
    await pause(TICK_MS, this.#signal);
    this.#watch.tick();
    await this.#watch.settled();
    await this.#insist();
  }

  async #insist(): Promise<void> {
    const delivery = await this.#reporter.report(this.#signal);
    if (this.#signal.aborted) throw new UnderstudyError('INTERRUPTED', 'the agent was stopped');
    if (delivery.kind !== 'delivered') throw undelivered(delivery);
  }

  /** Ticks that were missed, because the machine was busy or asleep, are not made up for. */
  async #tick(signal: AbortSignal): Promise<void> {
    let dueMs = hostClock.nowMs() + TICK_MS;
    for (;;) {
      await pause(dueMs - hostClock.nowMs(), signal);
      if (signal.aborted) return;
      this.#watch.tick();
      if (hostClock.nowMs() - this.#savedMs >= SAVE_EVERY_MS) this.#save();
      const lateMs = Math.max(0, hostClock.nowMs() - dueMs);
      dueMs += TICK_MS * (1 + Math.floor(lateMs / TICK_MS));
    }
  }

  #changed(standing: Standing, isVerdict: boolean): void {
    this.#bell.ring();
    if (!isVerdict) return;
    this.#outbox.add(standing.sinceMs, standing.verdict, standing.evidence);
    const why = standing.evidence[0]?.text;
    this.#options.say(`${standing.verdict}${why === undefined ? '' : `: ${why}`}`);
  }

  /** So that the controller need not wait for silence. */
  async #sayFarewell(): Promise<void> {
    if (!this.#link.isUp) return;
    this.#watch.close('the agent was stopped');
    await this.#reporter.report(new AbortController().signal, FAREWELL_TIMEOUT_MS);
  }
}

function undelivered(delivery: Exclude<Delivery, { kind: 'delivered' }>): UnderstudyError {
  const message = `no report gets through to the controller: ${delivery.reason}`;
  if (delivery.kind === 'failed') return new UnderstudyError('API_UNAVAILABLE', message);
  const codes = { 401: 'API_UNAUTHORIZED', 403: 'API_FORBIDDEN', 404: 'API_NOT_FOUND' } as const;
  return new UnderstudyError(codes[delivery.status], message);
}
