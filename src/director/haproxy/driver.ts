// HAProxy as director, told through its runtime socket. Written for and tested with HAProxy 2.6. What it must find in
// haproxy.cfg, and why writes cannot reach a server with traffic "reads", is in docs/haproxy.md. Seed rows P5, P6, P10.
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type Call, type EpochGate, UnderstudyError, withinTime } from '../../base/mod.ts';
import type { Director, DirectorServer, Observation } from '../contract.ts';
import { observationOf } from './observation.ts';
import { type Step, stepToAdmit, stepToDrain, stepToRemove } from './placement.ts';
import { askHaproxy, orderHaproxy } from './runtime-socket.ts';
import { HAPROXY_NAME, type HaproxySettings } from './settings.ts';
import { type Backend, type BackendServer, canonicalAddress, readState, stateQuestion } from './state.ts';

/** Between two looks at the state. HAProxy tells nobody of a change, so it has to be asked. */
const LOOK_MS = 100;
/** Before the same orders are given once more, because the first time had no effect. */
const REPEAT_MS = 1000;

export interface HaproxyOptions {
  /** By the service's name. */
  readonly services: Readonly<Record<string, HaproxySettings>>;
  readonly gate: EpochGate;
}

/** One change: what is to be done next in each backend, in this order. */
interface Change {
  readonly what: string;
  readonly service: string;
  readonly server: string;
  readonly next: (settings: HaproxySettings, backend: Backend, place: string, seen: BackendServer | null) => Step;
}

export class HaproxyDirector implements Director {
  readonly name = 'haproxy';
  #services: ReadonlyMap<string, HaproxySettings>;
  readonly #gate: EpochGate;

  constructor(options: HaproxyOptions) {
    this.#services = new Map(Object.entries(options.services));
    this.#gate = options.gate;
  }

  /** Takes other services. */
  setServices(services: HaproxyOptions['services']): void {
    this.#services = new Map(Object.entries(services));
  }

  async observe(service: string, call: Call): Promise<Observation> {
    const settings = this.#settingsOf(service);
    const limit = {
      timeoutMs: settings.timeoutMs,
      code: 'DIRECTOR_TIMEOUT',
      what: () => `observe ${service}`,
    } as const;
    const backends = await withinTime(limit, call.signal, (signal) => look(settings, signal));
    return observationOf(backends, settings);
  }

  async admit(service: string, server: DirectorServer, call: Call): Promise<void> {
    checkServer(server);
    const at = { address: canonicalAddress(server.address), port: server.port };
    const next: Change['next'] = (settings, backend, place, seen) => {
      // A server that may only be read must not be where writes go, not even from an earlier part that it played.
      const allowed = server.traffic === 'all' || backend.name === settings.readsBackend;
      return allowed ? stepToAdmit(place, seen, at, settings) : stepToRemove(place, seen);
    };
    if (server.traffic === 'reads' && this.#settingsOf(service).readsBackend === null) {
      throw failed(`service ${service} has no "readsBackend", so ${server.name} cannot be given reads only`);
    }
    await this.#change({ what: 'admit', service, server: server.name, next }, call);
  }

  async drain(service: string, server: string, call: Call): Promise<void> {
    const next: Change['next'] = (_settings, _backend, place, seen) => stepToDrain(place, seen);
    await this.#change({ what: 'drain', service, server, next }, call);
  }

  async remove(service: string, server: string, call: Call): Promise<void> {
    const next: Change['next'] = (_settings, _backend, place, seen) => stepToRemove(place, seen);
    await this.#change({ what: 'remove', service, server, next }, call);
  }

  #settingsOf(service: string): HaproxySettings {
    const settings = this.#services.get(service);
    if (settings === undefined) throw new UnderstudyError('SERVICE_UNKNOWN', `HAProxy has no service ${service}`);
    return settings;
  }

  async #change(change: Change, call: Call): Promise<void> {
    const settings = this.#settingsOf(change.service);
    checkName(change.server);
    let last = 'HAProxy was not asked yet';
    const what = (): string => `${change.what} ${change.server} in ${change.service} (${last})`;
    await withinTime({ timeoutMs: settings.timeoutMs, code: 'DIRECTOR_TIMEOUT', what }, call.signal, async (signal) => {
      await this.#admitEpoch(change, call);
      for (let before = ''; ; ) {
        const backends = await look(settings, signal);
        last = backends.map((backend) => describe(backend, change.server)).join('; ');
        const steps = backends.map((backend) => {
          const seen = serverIn(backend, change.server);
          return change.next(settings, backend, `${backend.name}/${change.server}`, seen);
        });
        if (steps.every((step) => step === 'done')) return;
        const orders = steps.flatMap((step) => (typeof step === 'string' ? [] : step.orders));
        for (const order of orders) {
          // Asked each time: the wait between two looks is long enough for another controller to take over.
          await this.#admitEpoch(change, call);
          signal.throwIfAborted();
          const said = await orderHaproxy(settings.socket, order, signal);
          if (said !== null) last = `${last}; HAProxy said to "${order}": ${said}`;
        }
        const again = orders.join('\n');
        await delay(again !== '' && again === before ? REPEAT_MS : LOOK_MS, undefined, { signal });
        before = again;
      }
    });
  }

  async #admitEpoch({ service, server }: Change, call: Call): Promise<void> {
    await this.#gate.admit(`director/${service}/${server}`, call.epoch);
  }
}

async function look(settings: HaproxySettings, signal: AbortSignal): Promise<readonly Backend[]> {
  const { backend, readsBackend } = settings;
  const names = readsBackend === null ? [backend] : [backend, readsBackend];
  return readState(await askHaproxy(settings.socket, stateQuestion(names), signal), names);
}

function serverIn(backend: Backend, name: string): BackendServer | null {
  return backend.servers.find((server) => server.name === name) ?? null;
}

function describe(backend: Backend, name: string): string {
  const seen = serverIn(backend, name);
  return `${backend.name}/${name} is ${seen === null ? 'not there' : seen.text}`;
}

function failed(message: string): UnderstudyError {
  return new UnderstudyError('DIRECTOR_FAILED', message);
}

/** Names and addresses become words of orders: nothing that could end a word or an order may be in them. */
function checkName(name: string): void {
  if (!HAPROXY_NAME.test(name)) throw failed(`${JSON.stringify(name)} cannot be a server's name in HAProxy`);
}

function checkServer({ name, address, port }: DirectorServer): void {
  checkName(name);
  if (isIP(address) === 0) throw failed(`server ${name}: ${JSON.stringify(address)} is no IP address`);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw failed(`server ${name}: ${port} is no port`);
}
