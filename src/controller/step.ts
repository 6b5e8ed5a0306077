// What the steps of an engagement share: their input, their outcomes, and the small dealings with power and volumes.
import { UnderstudyError } from '../base/mod.ts';
import type { HostConfig, ServiceConfig } from '../config/mod.ts';
import type { HostIdentity } from '../identity/mod.ts';
import { type PowerState, type ReadBack, readBackOff, untilOff } from '../power/mod.ts';
import type { VolumeStatus } from '../storage/mod.ts';
import type { Phase } from './contract.ts';
import { type Context, powerOf, within } from './parts.ts';
import type { Engagement } from './record.ts';
import type { World } from './world.ts';

export interface StepInput {
  readonly context: Context;
  readonly world: World;
  readonly engagement: Engagement;
  readonly service: ServiceConfig;
  readonly lead: HostConfig;
  readonly understudy: HostConfig;
  /**
   * Tells what the step waits for, in words that follow "waits for". It is shown by the status; another `what` is an
   * event as well.
   */
  readonly tell: (what: string, text: string) => Promise<void>;
}

type Patch = Partial<Pick<Engagement, 'takenAt' | 'proof' | 'admittedAt'>>;

/** Every step is idempotent: it may be repeated after a crash at any of its instructions. */
export type StepOutcome =
  /** The phase is over. */
  | { readonly kind: 'done'; readonly patch?: Patch }
  /** Nothing is wrong, it takes its time: look again. */
  | { readonly kind: 'again'; readonly inMs: number }
  /** The understudy went down while it was to be up: another try from there. */
  | { readonly kind: 'back'; readonly to: Phase; readonly reason: string };

export type Step = (input: StepInput) => Promise<StepOutcome>;

export async function powerState(input: StepInput, host: HostConfig): Promise<PowerState> {
  const { context, service, world } = input;
  const driver = powerOf(context.parts, host);
  const state = await within(context, `asking for the power of ${host.name}`, service.timeoutsMs.call, (call) =>
    driver.state(host.name, call),
  );
  world.power.set(host.name, { state, atMs: context.parts.wall() });
  return state;
}

/** How the power of a host is read back within a step. */
function readBackOf(input: StepInput, host: HostConfig): ReadBack {
  const { context } = input;
  return {
    read: () => powerState(input, host),
    pause: async (ms) => {
      await context.parts.pause(ms, context.signal);
      if (context.signal.aborted) throw new UnderstudyError('INTERRUPTED', `waiting for ${host.name} was stopped`);
    },
  };
}

/** The power of a host for whoever acts on "off": that is what was read twice. */
export function surePowerState(input: StepInput, host: HostConfig): Promise<PowerState> {
  return readBackOff(readBackOf(input, host));
}

/**
 * Cuts the power and sees that it is off.
 * @throws POWER_TIMEOUT when it stays on, POWER_UNKNOWN when nobody can tell, and the driver's errors
 */
export async function switchOff(input: StepInput, host: HostConfig): Promise<void> {
  const { context, service } = input;
  const driver = powerOf(context.parts, host);
  const { off: timeoutMs, call: callMs } = service.timeoutsMs;
  await within(context, `switching ${host.name} off`, callMs, (call) => driver.off(host.name, call));
  const last = await untilOff({ ...readBackOf(input, host), timeoutMs, nowMs: context.parts.wall });
  if (last === 'off') return;
  if (last === 'unknown') throw new UnderstudyError('POWER_UNKNOWN', `nobody can tell whether ${host.name} is off`);
  const seconds = Math.round(timeoutMs / 1000);
  throw new UnderstudyError('POWER_TIMEOUT', `${host.name} is not off ${seconds} s after its power was cut`);
}

export async function volumeOf(input: StepInput, host: HostConfig): Promise<VolumeStatus> {
  const { context, service } = input;
  const { volumes } = await within(context, 'asking the storage node', service.timeoutsMs.call, () =>
    context.parts.storage.status(),
  );
  const volume = volumes.find(({ name }) => name === host.volume);
  if (volume === undefined) throw new UnderstudyError('VOLUME_UNKNOWN', `there is no volume "${host.volume}"`);
  return volume;
}

/** Whether this engagement has begun to overwrite what the volume's own host put there. */
export function isReplaced(volume: VolumeStatus): boolean {
  return volume.content.kind !== 'own';
}

export async function identityOf(context: Context, host: HostConfig): Promise<HostIdentity> {
  const secret = await context.parts.agentSecret(host);
  return {
    hostName: host.hostName,
    ...(host.domain === null ? {} : { domain: host.domain }),
    interfaces: host.interfaces.map(({ name, mac, addresses, gateway }) => ({
      name,
      mac,
      addresses,
      ...(gateway === null ? {} : { gateway }),
    })),
    ...(secret === null
      ? {}
      : { agent: { host: host.name, controller: context.parts.config.api.advertise, ...secret } }),
  };
}
