// A network in memory, for simulations and for tests of what looks at a network. It shows what the simulation says is there now.
import { type Call, UnderstudyError } from '../../base/mod.ts';
import type { Answer, NetworkProbe, ServiceCheck } from '../contract.ts';

/** Somebody with an address. Two with the same one are a duplicate address. */
export interface FakeStation {
  readonly link: string;
  readonly address: string;
  readonly mac: string;
  /** What it answers to this check; null: it does not listen there. */
  readonly answer: (check: ServiceCheck) => { readonly status: number; readonly body: string } | null;
  readonly sshPort: number;
  readonly sshHostKeys: readonly string[];
}

export interface FakeNetworkOptions {
  readonly links: readonly string[];
  /** Asked at every look. */
  readonly stations: () => readonly FakeStation[];
  /** How long an answer takes. @default 1 */
  readonly milliseconds?: number;
}

export class FakeNetwork implements NetworkProbe {
  readonly #options: FakeNetworkOptions;
  #broken: string | null = null;

  constructor(options: FakeNetworkOptions) {
    this.#options = options;
  }

  /** From now on nothing can be looked at, for this reason; null: nothing is wrong any more. */
  break(reason: string | null): void {
    this.#broken = reason;
  }

  async holders(link: string, address: string, call: Call): Promise<readonly string[]> {
    this.#look(`look for ${address} on ${link}`, call);
    if (!this.#options.links.includes(link)) {
      throw new UnderstudyError('NETWORK_FAILED', `look for ${address} on ${link}: there is no such link`);
    }
    const there = this.#at(address).filter((station) => station.link === link);
    return [...new Set(there.map(({ mac }) => mac))].sort();
  }

  async check(address: string, check: ServiceCheck, call: Call): Promise<Answer> {
    this.#look(`check of ${address}`, call);
    const milliseconds = this.#options.milliseconds ?? 1;
    const [station] = this.#at(address);
    if (station === undefined) return { ok: false, detail: 'no route to the host', milliseconds };
    const answer = station.answer(check);
    if (answer === null) return { ok: false, detail: 'connection refused', milliseconds };
    if (check.kind === 'tcp') return { ok: true, detail: 'connected', milliseconds };
    const { status, body } = answer;
    const missing = check.contains !== undefined && !body.includes(check.contains);
    const detail = `${status}, ${body.length} bytes${missing ? `, without ${JSON.stringify(check.contains)}` : ''}`;
    return { ok: status >= 200 && status < 400 && !missing, detail, milliseconds };
  }

  async sshHostKeys(address: string, port: number, call: Call): Promise<readonly string[]> {
    this.#look(`host keys of ${address}`, call);
    const station = this.#at(address).find(({ sshPort }) => sshPort === port);
    return [...(station?.sshHostKeys ?? [])].sort();
  }

  #at(address: string): readonly FakeStation[] {
    return this.#options.stations().filter((station) => station.address === address);
  }

  #look(what: string, call: Call): void {
    if (call.signal.aborted) throw new UnderstudyError('INTERRUPTED', `${what}: stopped by its caller`);
    if (this.#broken !== null) throw new UnderstudyError('NETWORK_FAILED', `${what}: ${this.#broken}`);
  }
}
