// What is, in one view. A part that is away must not keep anybody from seeing that it is.
import { shown } from '../base/mod.ts';
import { storageCondition, storeCondition } from './components.ts';
import type { EngagementView, StatusView } from './contract.ts';
import { Holds } from './holds.ts';
import { iso, type Journal } from './journal.ts';
import { isLeft, occupied, storageOrNull } from './occupied.ts';
import type { Context } from './parts.ts';
import { type Engagement, keys, type PendingPlan } from './record.ts';
import { type Engagements, listEngagements, listRecords } from './records.ts';
import { factsOf } from './service.ts';
import { engagementView, hostView, serviceView } from './view.ts';
import type { World } from './world.ts';

/** Engagements in the status that are done. */
const DONE_SHOWN = 5;
/** Engagements in the status, those that need somebody first. */
const ENGAGEMENTS_SHOWN = 100;
/** Unusable records in the status; `records` has them all. */
const UNUSABLE_SHOWN = 100;

/** There is one of each in an installation. */
const NODE = 'node';
const STORE = 'store';
const DAEMON = 'qemu-storage-daemon';

export interface StatusInput {
  readonly context: Context;
  readonly world: World;
  readonly journal: Journal;
  readonly name: string;
  readonly sinceMs: number;
}

export async function statusOf({ context, world, journal, name, sinceMs }: StatusInput): Promise<StatusView> {
  const { config, store } = context.parts;
  // Before anything else is read, so that nothing newer is claimed to be in the view.
  const revision = await journal.revision();
  const known = await listEngagements(store, config);
  const plans = (await listRecords<PendingPlan>(store, keys.plans)).usable;
  const holds = await Holds.read(context.parts);
  const node = await storageOrNull(context);
  const services = await Promise.all(
    [...config.services.values()].map(async (service) => {
      const plan = plans.find(({ value }) => value.service === service.name)?.value ?? null;
      return serviceView(await factsOf(context, world, service), plan, journal.lastDecision(service.name));
    }),
  );
  const { why: keptOut } = await occupied(context, world, known);
  const nowMs = context.parts.wall();
  const facts = { config, world, nowMs, engagements: known.all, storage: node, keptOut, holds };
  const others = world.unusable.filter(({ key }) => !key.startsWith(keys.engagements));
  const unusable = [...known.unusable, ...others];
  world.components.saw(`storage/${NODE}`, storageCondition(node), nowMs);
  world.components.saw(`store/${STORE}`, storeCondition(unusable.length), nowMs);
  return {
    revision,
    controller: { name, epoch: context.epoch, since: iso(sinceMs) },
    services,
    components: [
      ...[...config.services.values()].map((service) => {
        return world.components.view('director', service.name, service.director.driver, nowMs);
      }),
      world.components.view('storage', NODE, DAEMON, nowMs),
      world.components.view('store', STORE, 'sqlite', nowMs),
    ],
    hosts: [...config.hosts.values()].map((host) => hostView(host, facts)),
    unusableRecords: unusable.slice(0, UNUSABLE_SHOWN).map(({ key, why }) => ({ key: shown(key), reason: shown(why) })),
    unusableRecordsTotal: unusable.length,
    engagements: current(known).map((engagement) => engagementView(engagement, world)),
    engagementsTotal: known.all.length,
  };
}

/** Those that are not over or need somebody, and the last few that are done; the oldest first. */
function current({ all }: Engagements): readonly Engagement[] {
  const open = all.filter((one) => !one.ended || isLeft(one));
  const failed = all.filter((one) => isFailure(one) && !open.includes(one));
  const done = all.filter((one) => !open.includes(one) && !failed.includes(one)).slice(-DONE_SHOWN);
  const shown = new Set([...open, ...failed.toReversed(), ...done].slice(0, ENGAGEMENTS_SHOWN));
  return all.filter((one) => shown.has(one));
}

/** It failed, and nobody has taken note of it yet. */
function isFailure({ failed, acknowledgedAt }: Engagement): boolean {
  return failed && acknowledgedAt === undefined;
}

/** All that are kept, the newest first. */
export async function engagementViews(
  { context, world }: Pick<StatusInput, 'context' | 'world'>,
  limit: number,
): Promise<readonly EngagementView[]> {
  const { store, config } = context.parts;
  const { all } = await listEngagements(store, config);
  return all
    .slice(-limit)
    .reverse()
    .map((engagement) => engagementView(engagement, world));
}
