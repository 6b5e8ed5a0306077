// A configuration that becomes another one while it is used: every part that has it sees hosts, volumes and services as
// they are now. The rest of it never changes.
import type { Configuration } from './contract.ts';

/** To be given to `becomes`, and otherwise used like any other. */
export function liveConfiguration(first: Configuration): Configuration {
  const { hosts, volumes, services } = first;
  return { ...first, hosts: new Map(hosts), volumes: new Map(volumes), services: new Map(services) };
}

/** At once: nobody sees half of it. @param live of `liveConfiguration` */
export function becomes(live: Configuration, next: Configuration): void {
  refill(live.hosts, next.hosts);
  refill(live.volumes, next.volumes);
  refill(live.services, next.services);
}

function refill<T>(live: ReadonlyMap<string, T>, next: ReadonlyMap<string, T>): void {
  const map = live as Map<string, T>;
  map.clear();
  for (const [name, value] of next) map.set(name, value);
}
