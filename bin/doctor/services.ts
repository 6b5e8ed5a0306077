// The directors: can they be asked, and do they have what an engagement needs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, memoryEpochGate } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration, ServiceConfig, SignalConfig } from '../../src/config/mod.ts';
import { queryFor, understudiesOf } from '../../src/controller/mod.ts';
import { HaproxyDirector, type HaproxySettings, haproxyLevel, type ObservedServer } from '../../src/director/mod.ts';
import { Prometheus } from '../../src/metrics/mod.ts';
import { damageOfStore, openSqliteStore } from '../../src/store/mod.ts';
import { checked, type Finding, failure, patience, warning } from './check.ts';

const REMEDY = 'docs/haproxy.md says what haproxy.cfg needs';

export async function* examineServices(configuration: Configuration, signal: AbortSignal): AsyncIterable<Check> {
  for (const service of configuration.services.values()) {
    if (service.director.driver === 'haproxy') {
      yield checked('director', service.name, REMEDY, () => haproxy(configuration, service, signal));
      yield checked('spares', service.name, null, () => spares(configuration, service, signal));
    }
    for (const one of service.signals) {
      if (one.source.kind !== 'prometheus') continue;
      yield checked('signal', `${service.name}/${one.name}`, 'correct prometheus of the signal', () =>
        prometheus(configuration, service, one, signal),
      );
    }
  }
}

/** Spares that have a place in HAProxy and no engagement: they get requests as soon as they answer. */
async function spares(
  configuration: Configuration,
  service: ServiceConfig,
  signal: AbortSignal,
): Promise<Finding | string> {
  const settings = service.director.settings as unknown as HaproxySettings;
  const director = new HaproxyDirector({ services: { [service.name]: settings }, gate: memoryEpochGate() });
  let servers: readonly ObservedServer[];
  try {
    ({ servers } = await director.observe(service.name, { epoch: 1, signal: patience(signal) }));
  } catch (error) {
    if (codeOf(error) === null || codeOf(error) === 'INTERRUPTED') throw error;
    return warning('not known: HAProxy cannot be asked', 'see above');
  }
  const engaged = await engagedHosts(configuration);
  for (const spare of service.pool.filter((name) => !engaged.has(name))) {
    const address = configuration.hosts.get(spare)?.address;
    const found = servers.find(
      (server) => server.name === spare || (server.address === address && server.port === service.port),
    );
    if (found === undefined) continue;
    const { name, state, traffic } = found;
    const backends = [settings.backend, settings.readsBackend].filter((one) => one !== null);
    const where = (traffic === 'all' ? backends : [settings.readsBackend ?? settings.backend])
      .map((backend) => `${backend}/${name}`)
      .join(' and ');
    const remedy = `remove it: "set server ${where} state maint", then "del server ${where}" (docs/haproxy.md)`;
    const detail = `HAProxy has a server ${name} at the address of ${spare} (${state}), which is not engaged`;
    return name === spare ? warning(detail, remedy) : failure(detail, remedy);
  }
  return 'HAProxy has no server of a spare that is not engaged';
}

/** Understudies of engagements that are not over, by the records of the controller. */
async function engagedHosts(configuration: Configuration): Promise<ReadonlySet<string>> {
  const file = join(configuration.state, 'store.db');
  if (!existsSync(file) || (await damageOfStore(file)) !== null) return new Set();
  const store = await openSqliteStore(file);
  try {
    return new Set(await understudiesOf({ store, config: configuration }));
  } finally {
    await store.close();
  }
}

/** As the controller asks it for the lead. */
async function prometheus(
  configuration: Configuration,
  service: ServiceConfig,
  { source }: SignalConfig,
  signal: AbortSignal,
): Promise<Finding | string> {
  if (source.kind !== 'prometheus') return 'not asked';
  const query = queryFor(source.query, service.lead, configuration);
  const value = await new Prometheus().read({ ...source, query }, patience(signal));
  if (value !== null) return `Prometheus says ${value} for ${service.lead}`;
  return warning(`${query} gives nothing for ${service.lead} now`, 'see the query in Prometheus itself');
}

async function haproxy(
  { hosts }: Configuration,
  service: ServiceConfig,
  signal: AbortSignal,
): Promise<Finding | string> {
  const settings = service.director.settings as unknown as HaproxySettings;
  if (service.traffic === 'reads' && settings.readsBackend === null) {
    return failure('its understudies get reads only, and there is no readsBackend', REMEDY);
  }
  const level = await haproxyLevel(settings.socket, patience(signal));
  if (level !== 'admin') {
    return failure(`${settings.socket} has level ${level}, and changes need admin`, REMEDY);
  }
  const director = new HaproxyDirector({ services: { [service.name]: settings }, gate: memoryEpochGate() });
  const { servers } = await director.observe(service.name, { epoch: 1, signal: patience(signal) });
  const lead = servers.find(({ name }) => name === service.lead);
  if (lead === undefined) {
    return failure(
      `HAProxy has no server ${service.lead} in ${settings.backend}`,
      `name it as the lead is named; ${REMEDY}`,
    );
  }
  const address = hosts.get(service.lead)?.address;
  if (lead.address !== address) {
    return failure(`HAProxy has ${lead.address} for ${lead.name}, the configuration ${address}`, 'correct one of them');
  }
  if (lead.state !== 'ready') return warning(`HAProxy says that ${lead.name} is ${lead.state}`, 'is the lead on?');
  return `HAProxy answers, and sends requests to ${lead.name}`;
}
