// One look at one name, the same for every kind: what the look will do is asked first, the try is counted in the store,
// and only then it begins. A step that has ended this process too often is not begun any more.
import { codeOf } from '../base/mod.ts';
import { engagements } from './engagement.ts';
import { reconcileHosts } from './hosts.ts';
import type { Journal } from './journal.ts';
import { asksPrometheus, reconcileMetrics } from './observe.ts';
import { type Context, serviceOf } from './parts.ts';
import type { Again, Look, Reconciler } from './reconciler.ts';
import { reconcileRecords } from './scan.ts';
import { reconcileService } from './service.ts';
import { LOST_SUSPECT, type Suspects } from './suspects.ts';
import type { Tries } from './tries.ts';
import { Uncaught } from './uncaught.ts';
import type { World } from './world.ts';

export interface LookParts {
  readonly world: World;
  readonly journal: Journal;
  readonly tries: Tries;
  readonly suspects: Suspects;
}

/**
 * A look that ended the process so often in a row is left alone for a while at each start. An engagement has bounds of
 * its own.
 */
const LOST_MAX = 5;
const REST_MS = 300_000;

/** By the first part of a key. */
const kinds: Readonly<Record<string, Reconciler>> = {
  hosts: observer(({ context, world, journal }) => reconcileHosts(context, world, journal)),
  service: observer(
    ({ context, world, journal, name }) =>
      reconcileService(context, world, journal, serviceOf(context.parts.config, name)),
    ({ context, name }) => context.parts.config.services.has(name),
  ),
  metrics: observer(
    ({ context, world, journal, name }) =>
      reconcileMetrics(context, world, journal, serviceOf(context.parts.config, name)),
    ({ context, name }) => asksPrometheus(context.parts.config.services.get(name)),
  ),
  records: observer(reconcileRecords),
  engagement: engagements,
};

/** What is repeated for ever, and is one step. @param isThere false: its name has left the configuration */
function observer(run: Reconciler['run'], isThere: (look: Look) => boolean = () => true): Reconciler {
  return {
    step: async (look) => (isThere(look) ? 'look' : null),
    run,
    exhausted: async ({ key, journal, tries }, { lost }) => {
      if (lost < LOST_MAX || !tries.rests(key)) return 'run';
      await journal.rest(key, lost, REST_MS);
      return { inMs: REST_MS };
    },
  };
}

/**
 * Looks at a name once. @param key "engagement/wiki-1", "hosts" @param reconcilers by the first part of the key
 * @returns when to look again
 * @throws what the look throws; the try is counted as failed then
 */
export async function look(
  context: Context,
  parts: LookParts,
  key: string,
  reconcilers: Readonly<Record<string, Reconciler>> = kinds,
): Promise<Again> {
  const slash = key.indexOf('/');
  const [kind, name] = slash === -1 ? [key, ''] : [key.slice(0, slash), key.slice(slash + 1)];
  const reconciler = reconcilers[kind];
  if (reconciler === undefined) return null;
  const input: Look = { context, ...parts, key, name };
  const step = await reconciler.step(input);
  if (step === null) return null;
  const counted = await parts.tries.counted(key, step);
  const spared = await reconciler.exhausted(input, counted);
  if (spared !== 'run') return spared;
  const end = counted.lost >= LOST_SUSPECT ? await parts.suspects.turn(context.signal) : () => undefined;
  try {
    return await tryOnce(reconciler, input, step);
  } finally {
    end();
  }
}

async function tryOnce(reconciler: Reconciler, input: Look, step: string): Promise<Again> {
  const attempt = await input.tries.begin(input.key, step);
  let how: 'well' | 'failed' | 'stopped' = 'stopped';
  try {
    const again = await reconciler.run(input, attempt);
    how = again?.failed === true ? 'failed' : 'well';
    return again;
  } catch (error) {
    how = isStop(input.context, error) ? 'stopped' : 'failed';
    throw error;
  } finally {
    await attempt.ended(how);
  }
}

/** Nothing was wrong with the step: it was stopped, others were first, or another controller has taken over. */
function isStop({ signal }: Context, error: unknown): boolean {
  const code = codeOf(error);
  const stopped = signal.aborted && !(signal.reason instanceof Uncaught);
  return stopped || code === 'STORE_CONFLICT' || code === 'EPOCH_STALE' || code === 'LEASE_LOST';
}
