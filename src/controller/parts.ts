// What the controller is made of. Everything outside of it comes in here, so that a simulation can own all of it.
import { type Call, type Log, UnderstudyError } from '../base/mod.ts';
import type { Configuration, HostConfig, ServiceConfig } from '../config/mod.ts';
import type { Director } from '../director/mod.ts';
import type { AgentIdentity } from '../identity/mod.ts';
import type { Metrics } from '../metrics/mod.ts';
import type { NetworkProbe } from '../network/mod.ts';
import type { PowerDriver } from '../power/mod.ts';
import type { InstallationFloor, StorageNode } from '../storage/mod.ts';
import type { Store } from '../store/mod.ts';

/** A token, or a certificate of the host. */
export type AgentSecret = Pick<AgentIdentity, 'token' | 'certificate'>;

export interface ControllerParts {
  readonly config: Configuration;
  readonly store: Store;
  readonly storage: StorageNode;
  /** What is never given twice, whatever becomes of the store. @default nothing but the store remembers */
  readonly floor?: InstallationFloor;
  /** By the name that a host's `power.driver` gives. */
  readonly power: ReadonlyMap<string, PowerDriver>;
  /** By the name that a service's `director.driver` gives. */
  readonly directors: ReadonlyMap<string, Director>;
  readonly network: NetworkProbe;
  /** For signals of a service that come from Prometheus. */
  readonly metrics: Metrics;
  /** What a host's agent shows, read from its files when it is needed; null: the host has no agent. */
  readonly agentSecret: (host: HostConfig) => Promise<AgentSecret | null>;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
  /** Resolves after so many milliseconds, or at once when the signal says stop. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** For whoever runs the controller: every event, and the stacks of defects. */
  readonly log: Log;
  /** Names this controller among those that share the store: the same in all its lives, of which one runs at a time. */
  readonly holder: string;
}

/** Parts, and the right to act: what every step gets. */
export interface Context {
  readonly parts: ControllerParts;
  readonly epoch: number;
  /** Ends the step: the controller stops, has lost its lease, or the engagement's goal has changed. */
  readonly signal: AbortSignal;
  /** Why the store is not believed: then nothing is engaged, and no engagement is gone on with. @default it is */
  readonly unsettled?: string;
}

/** A driver call with a time-out of its own. What it could not finish is read back by the next try. */
export async function within<T>(
  context: Context,
  what: string,
  timeoutMs: number,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const timer = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([context.signal, timer]);
  let giveUp: () => void = () => undefined;
  // A driver that does not honour its signal must not hold the reconciler: the call is left behind, its epoch fences
  // it.
  const overdue = new Promise<never>((_, reject) => {
    giveUp = () => reject(new UnderstudyError('INTERRUPTED', `${what} was stopped`));
    signal.addEventListener('abort', giveUp, { once: true });
  });
  // A driver that throws at once leaves nobody who waits for this.
  overdue.catch(() => undefined);
  try {
    if (signal.aborted) giveUp();
    return await Promise.race([work({ epoch: context.epoch, signal }), overdue]);
  } catch (cause) {
    if (timer.aborted && !context.signal.aborted) {
      throw new UnderstudyError('CALL_TIMEOUT', `${what} took longer than ${Math.round(timeoutMs / 1000)} s`, {
        cause,
      });
    }
    throw cause;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

export function hostOf(config: Configuration, name: string): HostConfig {
  const host = config.hosts.get(name);
  if (host === undefined) throw new UnderstudyError('HOST_UNKNOWN', `there is no host "${name}"`);
  return host;
}

export function serviceOf(config: Configuration, name: string): ServiceConfig {
  const service = config.services.get(name);
  if (service === undefined) throw new UnderstudyError('SERVICE_UNKNOWN', `there is no service "${name}"`);
  return service;
}

export function powerOf(parts: ControllerParts, host: HostConfig): PowerDriver {
  const driver = parts.power.get(host.power.driver);
  if (driver === undefined) {
    throw new UnderstudyError('CONFIG_INVALID', `${host.name}: there is no power driver "${host.power.driver}"`);
  }
  return driver;
}

export function directorOf(parts: ControllerParts, service: ServiceConfig): Director {
  const driver = parts.directors.get(service.director.driver);
  if (driver === undefined) {
    throw new UnderstudyError('CONFIG_INVALID', `${service.name}: there is no director "${service.director.driver}"`);
  }
  return driver;
}
