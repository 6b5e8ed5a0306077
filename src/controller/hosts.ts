// The reconciler of hosts: volumes that hold their own host's data can be reached by that host, and the power of all is
// known.
import { codeOf, messageOf, UnderstudyError } from '../base/mod.ts';
import type { HostConfig } from '../config/mod.ts';
import { type PowerState, type ReadBack, readBackOff, untilOff } from '../power/mod.ts';
import type { Journal } from './journal.ts';
import { type Context, powerOf, within } from './parts.ts';
import { heldHosts, listEngagements } from './records.ts';
import type { World } from './world.ts';

const LOOK_MS = 10_000;
/** Where no service says how long a call may take. */
const CALL_MS = 30_000;
const SWITCH_MS = 60_000;
const SWITCH_POLL_MS = 500;

export async function reconcileHosts(
  context: Context,
  world: World,
  journal: Journal,
): Promise<{ readonly inMs: number }> {
  const { config, storage, store } = context.parts;
  const engagements = await listEngagements(store, config);
  const status = await within(context, 'asking the storage node', CALL_MS, () => storage.status());
  await tellDaemon(world, journal, status.daemon);
  const held = heldHosts(engagements, config, status);
  const engaged = new Set(engagements.all.filter(({ ended }) => !ended).map(({ understudy }) => understudy));
  // A store that is not believed hands out no volume.
  const free =
    context.unsettled !== undefined
      ? []
      : [...config.hosts.values()].filter(({ name, volume }) => {
          const found = status.volumes.find((one) => one.name === volume);
          const isOwn = found?.attachment === null && found.content.kind === 'own';
          return isOwn && !engaged.has(name) && !held.has(name);
        });
  // Side by side: one that fails, or is not answered, keeps no other from its volume.
  const replaced = await Promise.all(
    free.map((host) =>
      asOneOf(context, journal, host, () =>
        within(context, `attaching ${host.volume}`, CALL_MS, (call) => storage.attach(host.volume, host.name, call)),
      ),
    ),
  );
  await Promise.all([...config.hosts.values()].map((host) => lookAtPower(context, world, journal, host)));
  const stale = replaced.find((error) => error !== null);
  if (stale !== undefined) throw stale;
  return { inMs: LOOK_MS };
}

/** Hosts wait for their disks while it is away, and nothing else says so. */
async function tellDaemon(
  world: World,
  journal: Journal,
  { running, restarts }: { readonly running: boolean; readonly restarts: number },
): Promise<void> {
  if (!running) {
    await journal.trouble('storage', new UnderstudyError('STORAGE_FAILED', 'the storage daemon is away'));
  } else {
    journal.well('storage');
  }
  if (world.daemonRestarts !== null && restarts > world.daemonRestarts) {
    const text = 'the storage daemon has ended, and was started again; hosts waited for their disks meanwhile';
    await journal.event({ kind: 'error', subject: 'storage', text, data: { code: 'STORAGE_FAILED', restarts } });
  }
  world.daemonRestarts = restarts;
}

/**
 * What is wrong with one host keeps no other from being looked at. @returns what may say that this controller was
 * replaced, or null
 */
async function asOneOf(
  context: Context,
  journal: Journal,
  host: HostConfig,
  work: () => Promise<unknown>,
): Promise<unknown> {
  const subject = `host/${host.name}`;
  try {
    await work();
    journal.well(subject);
  } catch (error) {
    if (context.signal.aborted) throw error;
    await journal.trouble(subject, error);
    if (codeOf(error) === 'EPOCH_STALE') return error;
  }
  return null;
}

async function lookAtPower(context: Context, world: World, journal: Journal, host: HostConfig): Promise<void> {
  const before = world.power.get(host.name)?.state;
  let state: PowerState;
  try {
    const readBack = readBackOf(context, host);
    state = await (before === 'off' ? readBack.read() : readBackOff(readBack));
  } catch (error) {
    if (context.signal.aborted || codeOf(error) === 'EPOCH_STALE') throw error;
    state = 'unknown';
    if (codeOf(error) === null) await journal.trouble(`host/${host.name}`, error);
    if (before !== 'unknown') await powerEvent(journal, host, state, messageOf(error));
  }
  world.power.set(host.name, { state, atMs: context.parts.wall() });
  if (before !== undefined && before !== state && state !== 'unknown') await powerEvent(journal, host, state, null);
}

async function powerEvent(journal: Journal, host: HostConfig, state: PowerState, why: string | null): Promise<void> {
  const text = `${host.name} is ${state === 'unknown' ? `on or off, nobody knows: ${why ?? ''}` : state}`;
  await journal.event({ kind: 'power', subject: `host/${host.name}`, text, data: { state, why } });
}

/**
 * Switches a host that is in no engagement, and reads back.
 * @throws POWER_TIMEOUT when it does not reach the state within a minute, VOLUME_STATE when it has nothing to boot from
 */
export async function switchHost(context: Context, host: HostConfig, wanted: 'on' | 'off'): Promise<PowerState> {
  const { parts } = context;
  const driver = powerOf(parts, host);
  if (wanted === 'on') {
    await within(context, `attaching ${host.volume}`, CALL_MS, (call) =>
      parts.storage.attach(host.volume, host.name, call),
    );
  }
  await within(context, `switching ${host.name} ${wanted}`, CALL_MS, (call) => driver[wanted](host.name, call));
  const readBack = readBackOf(context, host);
  const state = await (wanted === 'off'
    ? untilOff({ ...readBack, timeoutMs: SWITCH_MS, nowMs: parts.wall })
    : untilOn(readBack, parts.wall));
  if (state === wanted) return state;
  const code = state === 'unknown' ? 'POWER_UNKNOWN' : 'POWER_TIMEOUT';
  throw new UnderstudyError(code, `${host.name} is ${state} a minute after it was switched ${wanted}`);
}

async function untilOn({ read, pause }: ReadBack, wall: () => number): Promise<PowerState> {
  const deadline = wall() + SWITCH_MS;
  for (;;) {
    const state = await read();
    if (state === 'on' || wall() >= deadline) return state;
    await pause(SWITCH_POLL_MS);
  }
}

function readBackOf(context: Context, host: HostConfig): ReadBack {
  const { parts, signal } = context;
  return {
    read: () =>
      within(context, `asking for the power of ${host.name}`, CALL_MS, (call) =>
        powerOf(parts, host).state(host.name, call),
      ),
    pause: async (ms) => {
      await parts.pause(ms, signal);
      if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `waiting for ${host.name} was stopped`);
    },
  };
}
