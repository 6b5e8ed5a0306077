// Which services an order concerns, for operators who are limited to some. Names of engagements and plans never change
// their service, so what was found holds when the order is carried out.
import type { Configuration } from '../config/mod.ts';
import type { ControllerApi, EngagementView } from '../controller/mod.ts';

export type Services = Configuration['services'];

/** The service for which the controller would engage this spare for this lead. */
export function servicesOfPair(services: Services, { lead, to }: { readonly lead: string; readonly to: string }) {
  const found = [...services.values()].find((service) => service.lead === lead && service.pool.includes(to));
  return found === undefined ? [] : [found.name];
}

/** All that lead by it or may engage it: to switch it, or to look into its disk, touches each of them. */
export function servicesOfHost(services: Services, host: string): readonly string[] {
  return [...services.values()]
    .filter(({ lead, pool }) => lead === host || pool.includes(host))
    .map(({ name }) => name);
}

/** The engagement that `dismiss` would end for this spare; null: it is not engaged. */
export async function engagementOf(controller: ControllerApi, host: string): Promise<EngagementView | null> {
  const { engagements } = await controller.status();
  const ofHost = engagements.filter(({ understudy }) => understudy === host);
  return ofHost.findLast(({ state }) => state !== 'done') ?? ofHost.at(-1) ?? null;
}

/** @throws ENGAGEMENT_UNKNOWN */
export async function servicesOfDismissal(
  controller: ControllerApi,
  services: Services,
  subject: { readonly host: string } | { readonly engagement: string },
): Promise<readonly string[]> {
  if ('engagement' in subject) return [(await controller.engagement(subject.engagement)).service];
  const found = await engagementOf(controller, subject.host);
  return found === null ? servicesOfHost(services, subject.host) : [found.service];
}

export async function servicesOfPlan(controller: ControllerApi, plan: string): Promise<readonly string[]> {
  const { services } = await controller.status();
  return services.filter(({ pendingPlan }) => pendingPlan?.id === plan).map(({ name }) => name);
}
