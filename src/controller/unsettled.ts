// Whether the store is the one that this installation had last. Where it is not, the controller advises and does
// nothing, until `understudy recover` has read back what the volumes hold.
import { codeOf, UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import { storeEpochGate } from '../store/mod.ts';
import type { Context, ControllerParts } from './parts.ts';
import { keys } from './record.ts';

const LEADER = 'controller';

/**
 * Asked once, before anything is done. A store that was found to be another one stays so, also after the next start.
 * @returns why the store is not believed; null: it is
 */
export async function findUnsettled({ store, storage, floor }: ControllerParts): Promise<string | null> {
  if (floor === undefined) return null;
  const { epoch, sequence, unsettled } = await floor.read();
  if (unsettled !== null) return unsettled;
  const why = (await storage.status()).unsettled ?? olderBy(await numbersOf(store), { epoch, sequence });
  if (why !== null) await floor.unsettle(why);
  return why;
}

interface Numbers {
  readonly epoch: number;
  readonly sequence: number;
}

async function numbersOf(store: ControllerParts['store']): Promise<Numbers> {
  const numberAt = async (key: string): Promise<number> => {
    const found = await store.get(key);
    try {
      return Number(found?.value ?? 0);
    } catch (error) {
      if (codeOf(error) === null) throw error;
      // Told as a record that cannot be used.
      return Number.POSITIVE_INFINITY;
    }
  };
  return { epoch: await numberAt(keys.leader), sequence: await numberAt(keys.sequence) };
}

function olderBy(store: Numbers, floor: Numbers): string | null {
  if (store.epoch < floor.epoch) {
    return `the store is older than the volumes: it knows of epoch ${store.epoch}, they of epoch ${floor.epoch}`;
  }
  if (store.sequence < floor.sequence) {
    return `the store is older than the volumes: it knows of ${store.sequence} engagements, they of ${floor.sequence}`;
  }
  return null;
}

/**
 * Remembers the epoch of a controller that believes its store, there first and then beside the volumes: a crash in
 * between leaves a store that knows more, never less.
 */
export async function keepEpoch({ store, floor }: ControllerParts, epoch: number, believed: boolean): Promise<void> {
  if (floor === undefined) return;
  if (believed) await storeEpochGate(store).admit(LEADER, epoch);
  await floor.raise({ epoch });
}

/** Nothing but advice, whatever the configuration says. */
export function advising(config: Configuration): Configuration {
  const services = [...config.services].map(
    ([name, service]) => [name, { ...service, mode: 'advise' as const }] as const,
  );
  return { ...config, services: new Map(services) };
}

/** @throws STATE_LOST */
export function refuseUnsettled({ unsettled }: Pick<Context, 'unsettled'>): void {
  if (unsettled === undefined) return;
  throw new UnderstudyError('STATE_LOST', `${unsettled}; end understudy up and run "understudy recover" first`);
}
