// Hosts with a baseboard management controller (BMC), switched with ipmitool(1) over IPMI 2.0.
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Call,
  codeOf,
  type EpochGate,
  requireTool,
  runTool,
  secretProblem,
  UnderstudyError,
  withinTime,
} from '../../base/mod.ts';
import type { PowerDriver, PowerState } from '../contract.ts';
import type { IpmiSettings } from './settings.ts';

export interface IpmiPowerOptions {
  readonly hosts: ReadonlyMap<string, IpmiSettings>;
  readonly gate: EpochGate;
  /** Bound of one call; a BMC may take several seconds for its first answer. @default 30000 */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;
/** One run of ipmitool: a message is sent again each second, four times in all; a session needs several messages. */
const SENDING = ['-N', '1', '-R', '4'];
const RUN_MS = 15_000;
const BETWEEN_RUNS_MS = 500;

/** What ipmitool says when the BMC did answer, but not as wished: asking again gives the same. */
const REFUSALS = [
  /RAKP \d (HMAC is invalid|message (indicates an error|has))/,
  /Error in open session response message/,
  /Set Chassis Power Control to .* failed/,
  /Address lookup for .* failed/,
];
/** What ipmitool adds for those who look for errors in ipmitool. */
const CHATTER =
  /^(> |Loading IANA|Running Get|Invalid completion code|Discovered IPMB|Error: Unable to establish|Could not open socket|$)/;

function saidBy(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trim());
  const words = lines.map((line) => line.replace(/^> (?=RAKP)/, '')).filter((line) => !CHATTER.test(line));
  return words.length === 0 ? 'no answer' : words.join('; ');
}

export class IpmiPower implements PowerDriver {
  readonly name = 'ipmi';
  readonly #options: IpmiPowerOptions;
  readonly #timeoutMs: number;
  #hosts: ReadonlyMap<string, IpmiSettings>;

  constructor(options: IpmiPowerOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#hosts = options.hosts;
  }

  state(host: string, call: Call): Promise<PowerState> {
    return this.#asked(host, 'state', call, async (settings, signal) => {
      // Shorter than the call, so that a silent BMC is an answer and not a time-out.
      const patienceMs = this.#timeoutMs * 0.8;
      try {
        return stateIn(await this.#chassis(settings, 'status', signal, patienceMs));
      } catch (error) {
        if (['POWER_FAILED', 'POWER_TIMEOUT'].includes(codeOf(error) ?? '')) return 'unknown';
        throw error;
      }
    });
  }

  on(host: string, call: Call): Promise<void> {
    return this.#change(host, 'on', call);
  }

  off(host: string, call: Call): Promise<void> {
    return this.#change(host, 'off', call);
  }

  #change(host: string, wanted: 'on' | 'off', call: Call): Promise<void> {
    return this.#asked(host, wanted, call, async (settings, signal) => {
      try {
        await this.#chassis(settings, wanted, signal, this.#timeoutMs);
      } catch (error) {
        // Some BMCs refuse to do what is done already.
        const answer = await this.#chassis(settings, 'status', signal, this.#timeoutMs).catch(() => null);
        if (answer === null || stateIn(answer) !== wanted) throw error;
      }
    });
  }

  /** Takes other hosts. */
  setHosts(hosts: IpmiPowerOptions['hosts']): void {
    this.#hosts = hosts;
  }

  #asked<T>(
    host: string,
    what: string,
    call: Call,
    work: (settings: IpmiSettings, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const limit = {
      timeoutMs: this.#timeoutMs,
      code: 'POWER_TIMEOUT',
      what: () => `power ${what} of ${host}`,
    } as const;
    return withinTime(limit, call.signal, async (signal) => {
      const settings = this.#hosts.get(host);
      if (settings === undefined) throw new UnderstudyError('HOST_UNKNOWN', `no BMC belongs to ${host}`);
      await this.#options.gate.admit(`power/${host}`, call.epoch);
      signal.throwIfAborted();
      return work(settings, signal);
    });
  }

  /**
   * Runs `ipmitool chassis power WHAT` until the BMC has answered.
   * @throws POWER_FAILED when it refuses, POWER_TIMEOUT when it does not answer
   */
  async #chassis(settings: IpmiSettings, what: string, signal: AbortSignal, patienceMs: number): Promise<string> {
    const tool = requireTool('ipmitool', 'ipmitool');
    const deadline = performance.now() + patienceMs;
    const where = `the BMC at ${settings.address}`;
    requireSecret(settings.passwordFile);
    for (;;) {
      signal.throwIfAborted();
      const timeoutMs = Math.ceil(Math.max(1, Math.min(RUN_MS, deadline - performance.now())));
      const done = await runTool(tool, commandLine(settings, what), { timeoutMs, signal });
      if (done.status === 0) return done.stdout;
      const said = saidBy(done.stderr);
      if (REFUSALS.some((refusal) => refusal.test(done.stderr))) {
        throw new UnderstudyError('POWER_FAILED', `${where} refused power ${what}: ${said}`);
      }
      if (performance.now() + BETWEEN_RUNS_MS > deadline) {
        throw new UnderstudyError('POWER_TIMEOUT', `${where} did not do power ${what} in time: ${said}`);
      }
      await delay(BETWEEN_RUNS_MS, undefined, { signal });
    }
  }
}

/** The password goes by the name of its file: a command line is read by everybody on this computer. */
function commandLine(settings: IpmiSettings, what: string): string[] {
  const { address, port, user, passwordFile, cipherSuite } = settings;
  const session = ['-I', 'lanplus', '-C', String(cipherSuite), '-H', address, '-p', String(port), '-U', user];
  // -v, because without it ipmitool does not say why it has no session.
  return ['-v', ...SENDING, ...session, '-f', passwordFile, 'chassis', 'power', what];
}

function stateIn(answer: string): PowerState {
  const [, word] = /^Chassis Power is (on|off)$/m.exec(answer) ?? [];
  return word === 'on' || word === 'off' ? word : 'unknown';
}

/** ipmitool would ask for the password instead of a file that it cannot read. */
function requireSecret(passwordFile: string): void {
  const problem = secretProblem(passwordFile);
  if (problem === null) return;
  throw new UnderstudyError('POWER_FAILED', `the password file ${passwordFile} ${problem.text}; ${problem.hint}`);
}
