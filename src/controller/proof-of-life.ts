// The proof that an understudy is up: it has power, answers its users at its own address, shows the SSH host keys that
// were made for it, and is alone with its address. All of it is asked for at the same time and again and again, because
// nobody can tell when a machine will be up; so little is left to be done when the first good answer comes.
import { UnderstudyError } from '../base/mod.ts';
import { within } from './parts.ts';
import { type StepInput, surePowerState } from './step.ts';

/** Between the beginnings of two looks of the same kind, and how often it is seen to what is due. */
const POLL_MS = 250;
/** The relay is asked more rarely: a BMC may need a second for an answer. */
const POWER_POLL_MS = 1000;
/** An exchange of keys costs a machine that starts more than an answer. */
const KEYS_POLL_MS = 500;
/**
 * A question that is on its way for so long may be lost, for a machine that starts takes no packets; then another one
 * is asked beside it. More of them would keep the machine from starting.
 */
const LOST_MS = 1000;
const KEYS_LOST_MS = 2500;
const QUESTIONS_MAX = 2;
const SSH_PORT = 22;

export type ProofOfLife =
  | { readonly kind: 'alive' }
  | { readonly kind: 'off' }
  /** Not yet: what is missing, each in words that follow "waits for". Never none. */
  | { readonly kind: 'missing'; readonly what: readonly string[] };

/**
 * Looks for so long, or until it is decided.
 * @throws ADDRESS_IN_USE, PROVE_FAILED for a host key that is not the understudy's, CALL_TIMEOUT, the drivers' errors
 */
export async function proveLife(input: StepInput, forMs: number): Promise<ProofOfLife> {
  const stop = new AbortController();
  const signal = AbortSignal.any([input.context.signal, stop.signal]);
  const proof = new Proof({ ...input, context: { ...input.context, signal } });
  try {
    return await proof.run(forMs);
  } finally {
    stop.abort();
    await proof.settled();
  }
}

/** Hardware addresses of all who answer for the understudy's address (RFC 5227); none where no link is named. */
export async function holdersOf({ context, service, understudy }: StepInput): Promise<readonly string[]> {
  const { link, address } = understudy;
  if (link === null) return [];
  return within(context, `looking for ${address}`, service.timeoutsMs.call, (call) =>
    context.parts.network.holders(link, address, call),
  );
}

/** @param expected hardware addresses that may hold it @throws ADDRESS_IN_USE when anybody else does */
export function refuseStrangers(
  { understudy }: StepInput,
  holders: readonly string[],
  expected: readonly string[],
): void {
  const strangers = holders.filter((mac) => !expected.includes(mac));
  if (strangers.length === 0) return;
  const message = `${understudy.address} of ${understudy.name} is held by ${strangers.join(', ')}`;
  throw new UnderstudyError('ADDRESS_IN_USE', message);
}

/** What is looked at over and over. */
interface Looks {
  /** Between the beginnings of two looks. */
  readonly pollMs: number;
  /** After which another one begins beside one that is under way. */
  readonly lostMs: number;
  /** Nothing more is to be seen. */
  readonly isDone: () => boolean;
  readonly look: () => Promise<void>;
  underWay: number;
  begunMs: number;
}

class Proof {
  readonly #input: StepInput;
  readonly #underWay = new Set<Promise<void>>();
  readonly #looks: readonly Looks[];
  #failure: { readonly error: unknown } | null = null;
  #isOff = false;
  #answered = false;
  /** Why there was no good answer yet. */
  #said = 'it was not asked yet';
  /** Of a reading of the power that ended after the answer. */
  #on = false;
  /** Of a look for others at the address that ended after the answer, so that it overlaps or follows it. */
  #alone = false;
  #keysSeen: boolean;
  #told = '';

  constructor(input: StepInput) {
    this.#input = input;
    this.#keysSeen = wantedKeys(input).length === 0;
    const begin = { underWay: 0, begunMs: Number.NEGATIVE_INFINITY };
    const once = { pollMs: POLL_MS, lostMs: Number.POSITIVE_INFINITY, ...begin };
    const twice = { pollMs: POLL_MS, lostMs: LOST_MS, ...begin };
    this.#looks = [
      { ...once, pollMs: POWER_POLL_MS, isDone: () => this.#on, look: () => this.#lookAtPower() },
      { ...twice, isDone: () => this.#answered, look: () => this.#ask() },
      {
        ...{ ...twice, pollMs: KEYS_POLL_MS, lostMs: KEYS_LOST_MS },
        ...{ isDone: () => this.#keysSeen, look: () => this.#askForKeys() },
      },
      { ...once, isDone: () => this.#alone, look: () => this.#lookForOthers() },
    ];
  }

  async run(forMs: number): Promise<ProofOfLife> {
    const { context } = this.#input;
    const untilMs = context.parts.wall() + forMs;
    let tick: Promise<void> | null = null;
    for (;;) {
      for (const looks of this.#looks) this.#beginDue(looks);
      tick ??= context.parts.pause(POLL_MS, context.signal).then(() => {
        tick = null;
      });
      await Promise.race([tick, ...this.#underWay]);
      if (context.signal.aborted) throw new UnderstudyError('INTERRUPTED', 'the proof of life was stopped');
      if (this.#failure !== null) throw this.#failure.error;
      if (this.#isOff) return { kind: 'off' };
      const what = this.#missing();
      if (what.length === 0) return { kind: 'alive' };
      if (context.parts.wall() >= untilMs) return { kind: 'missing', what };
      await this.#tell(what);
    }
  }

  /** When nothing is under way any more. To be called when its signal has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  #beginDue(looks: Looks): void {
    const nowMs = this.#input.context.parts.wall();
    const sinceMs = nowMs - looks.begunMs;
    const isDue = sinceMs >= (looks.underWay === 0 ? looks.pollMs : looks.lostMs);
    if (!isDue || looks.underWay >= QUESTIONS_MAX || looks.isDone()) return;
    looks.underWay += 1;
    looks.begunMs = nowMs;
    const work = looks
      .look()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        looks.underWay -= 1;
        this.#underWay.delete(work);
      });
    this.#underWay.add(work);
  }

  #missing(): readonly string[] {
    const { address } = this.#input.understudy;
    if (!this.#answered) return [`a good answer from ${address}, port ${this.#input.service.port} (${this.#said})`];
    const missing: string[] = [];
    if (!this.#on) missing.push('its relay to say that it is on');
    if (!this.#keysSeen) missing.push('its SSH host keys');
    if (!this.#alone) missing.push(`the end of a look for others at ${address}`);
    return missing;
  }

  async #tell(missing: readonly string[]): Promise<void> {
    const what = this.#answered ? missing.join(', ') : 'answer';
    const text = missing.join(', ');
    if (this.#told === text) return;
    this.#told = text;
    await this.#input.tell(what, text);
  }

  async #lookAtPower(): Promise<void> {
    const state = await surePowerState(this.#input, this.#input.understudy);
    if (state === 'off') this.#isOff = true;
    this.#on = this.#answered && state === 'on';
  }

  async #ask(): Promise<void> {
    const { context, service, understudy } = this.#input;
    const { contains, ...check } = service.check;
    const request = { ...check, port: service.port, ...(contains === null ? {} : { contains }) };
    const timeoutMs = service.timeoutsMs.call + check.timeoutMs;
    const answer = await within(context, `asking ${understudy.name}`, timeoutMs, (call) =>
      context.parts.network.check(understudy.address, request, call),
    );
    if (answer.ok) this.#hasAnswered();
    else this.#said = answer.detail;
  }

  /** What is still missing is looked for at once, unless it is looked for already. */
  #hasAnswered(): void {
    this.#answered = true;
    for (const looks of this.#looks) if (looks.underWay === 0) looks.begunMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Keys that were seen before the answer count as well. Foreign ones count only once it answers: what starts a machine
   * may have a server of its own.
   */
  async #askForKeys(): Promise<void> {
    const { context, service, understudy } = this.#input;
    const shown = await within(
      context,
      `asking ${understudy.name} for its host keys`,
      service.timeoutsMs.call,
      (call) => context.parts.network.sshHostKeys(understudy.address, SSH_PORT, call),
    );
    if (shown.length === 0) return;
    const wanted = wantedKeys(this.#input);
    const foreign = shown.find((key) => !wanted.includes(key));
    if (foreign === undefined) this.#keysSeen = true;
    else if (this.#answered) {
      const message = `${understudy.address} shows the host key ${foreign}, which is not ours`;
      throw new UnderstudyError('PROVE_FAILED', message);
    }
  }

  async #lookForOthers(): Promise<void> {
    refuseStrangers(this.#input, await holdersOf(this.#input), ownMacs(this.#input));
    this.#alone = this.#answered;
  }
}

function wantedKeys({ engagement }: StepInput): readonly string[] {
  return engagement.proof?.sshHostKeys ?? [];
}

/** Hardware addresses that may answer for the understudy's address. */
export function ownMacs({ understudy }: StepInput): readonly string[] {
  return understudy.interfaces.map(({ mac }) => mac);
}
