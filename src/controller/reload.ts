// Another configuration while the controller runs: what stands against it, and what has to be let go of for it. What an
// engagement rests on stays as it is until the engagement has ended.
import { codeOf } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import { isLeft, occupied } from './occupied.ts';
import { type Context, hostOf, powerOf, within } from './parts.ts';
import type { Engagement } from './record.ts';
import { listEngagements } from './records.ts';
import type { World } from './world.ts';

const CALL_MS = 30_000;

export interface Reconfiguration {
  readonly next: Configuration;
  /** What changes, a line each, for the journal. */
  readonly changes: readonly string[];
  /**
   * Makes all parts have it. @param letGo to be called when the configuration is the next one: detaches volumes that
   * go or lie elsewhere
   */
  readonly become: (letGo: () => Promise<void>) => Promise<void>;
}

export interface Standing {
  /** Why it cannot be, a line each, by the name in understudy.yaml. Empty: it can. */
  readonly objections: readonly string[];
  /** Volumes that their hosts, which are off, have to give back. */
  readonly leaving: readonly string[];
}

/** @throws STORAGE_FAILED, STORE_FAILED */
export async function standingOf(context: Context, world: World, next: Configuration): Promise<Standing> {
  const { config, store } = context.parts;
  const known = await listEngagements(store, config);
  const objections = known.all
    .filter((engagement) => !engagement.ended || isLeft(engagement))
    .flatMap((engagement) => ofEngagement(engagement, config, next));
  const { why } = await occupied(context, world, known);
  for (const [host, reason] of why) {
    if (isChanged(config, next, host)) objections.push(`hosts.${host}: it stays as it is: ${reason}`);
  }
  const volumes = await ofVolumes(context, next);
  return { objections: [...new Set([...objections, ...volumes.objections])], leaving: volumes.leaving };
}

/** Lead, understudy, their volumes, and the way in which the service reaches them. */
function ofEngagement(
  { name, service, lead, understudy }: Engagement,
  config: Configuration,
  next: Configuration,
): readonly string[] {
  const until = `it is in the engagement ${name}, and stays as it is until that has ended`;
  const lines: string[] = [];
  for (const host of [lead, understudy]) {
    const volume = config.hosts.get(host)?.volume ?? '';
    if (!isSame(config.hosts.get(host), next.hosts.get(host))) lines.push(`hosts.${host}: ${until}`);
    if (!isSame(config.volumes.get(volume), next.volumes.get(volume))) lines.push(`volumes.${volume}: ${until}`);
  }
  const [before, after] = [config.services.get(service), next.services.get(service)];
  if (after === undefined || before === undefined) return [...lines, `services.${service}: ${until}`];
  if (after.lead !== lead) lines.push(`services.${service}.lead: ${until}`);
  if (!after.pool.includes(understudy)) lines.push(`services.${service}.pool: ${understudy} is missing; ${until}`);
  for (const part of ['director', 'port', 'traffic'] as const) {
    if (!isSame(before[part], after[part])) lines.push(`services.${service}.${part}: ${until}`);
  }
  return lines;
}

function isChanged(config: Configuration, next: Configuration, host: string): boolean {
  const volume = config.hosts.get(host)?.volume ?? '';
  return (
    !isSame(config.hosts.get(host), next.hosts.get(host)) ||
    !isSame(config.volumes.get(volume), next.volumes.get(volume))
  );
}

/** A volume leaves its host only while that is off, and only with the host's own data in it. */
async function ofVolumes(context: Context, next: Configuration): Promise<Standing> {
  const { config, storage } = context.parts;
  const objections: string[] = [];
  const leaving: string[] = [];
  const { volumes } = await within(context, 'asking the storage node', CALL_MS, () => storage.status());
  for (const { name, path, attachment, content, backups } of volumes) {
    const isHere = next.volumes.get(name)?.path === path;
    const ownHost = [...next.hosts.values()].find(({ volume }) => volume === name)?.name;
    const stays = isHere && (attachment === null || ownHost === attachment.host);
    if (stays) continue;
    if (content.kind !== 'own' || backups.length > 0) {
      objections.push(`volumes.${name}: it does not hold its own host's data alone, so it stays as it is`);
      continue;
    }
    if (attachment === null) continue;
    const state = config.hosts.has(attachment.host) ? await powerState(context, attachment.host) : 'off';
    if (state === 'off') leaving.push(name);
    else {
      const what = state === 'on' ? 'is on' : 'may be on (its power cannot be read)';
      objections.push(`volumes.${name}: ${attachment.host} has it and ${what}; switch ${attachment.host} off first`);
    }
  }
  return { objections, leaving };
}

async function powerState(context: Context, host: string): Promise<string> {
  try {
    return await within(context, `asking for the power of ${host}`, CALL_MS, (call) =>
      powerOf(context.parts, hostOf(context.parts.config, host)).state(host, call),
    );
  } catch (error) {
    if (context.signal.aborted || codeOf(error) === null) throw error;
    // Whatever the relay says: it is not known to be off.
    return 'unknown';
  }
}

/** Takes volumes from hosts that are off. @throws STORAGE_FAILED */
export async function letGo(context: Context, volumes: readonly string[]): Promise<void> {
  for (const volume of volumes) {
    await within(context, `detaching ${volume}`, CALL_MS, (call) => context.parts.storage.detach(volume, call));
  }
}

/** Values of configurations are plain. */
function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
