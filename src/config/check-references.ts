// Names that stand for something, and things that must be there once.
import { entriesOf, type PartlyHost, type PartlyRaw, type PartlyService } from './partial.ts';
import { formatPath, type Path, type Report } from './problem.ts';
import { suggestion } from './suggest.ts';

/** Names that are written in the file, also of entries that are wrong otherwise: a reference to those is right. */
export interface WrittenNames {
  readonly volumes: readonly string[];
  readonly hosts: readonly string[];
}

/** @param raw with paths made absolute */
export function checkReferences(raw: PartlyRaw, names: WrittenNames, report: Report): void {
  const known = (kind: string, name: string, all: readonly string[], path: Path): boolean => {
    if (all.includes(name)) return true;
    report(path, `${formatPath(path)}: there is no ${kind} "${name}"`, suggestion(name, all) ?? `add it to ${kind}s`);
    return false;
  };
  for (const [name, host] of entriesOf(raw.hosts)) {
    if (host.volume !== undefined) known('volume', host.volume, names.volumes, ['hosts', name, 'volume']);
  }
  for (const [name, service] of entriesOf(raw.services)) {
    if (service.lead !== undefined) known('host', service.lead, names.hosts, ['services', name, 'lead']);
    for (const [index, spare] of (service.pool ?? []).entries()) {
      if (spare !== undefined) known('host', spare, names.hosts, ['services', name, 'pool', index]);
    }
  }
  checkParts(entriesOf(raw.services), report);
  checkOnce(raw, report);
}

type Services = readonly (readonly [string, PartlyService])[];

/** A host is lead of one service, or spare of any number. */
function checkParts(services: Services, report: Report): void {
  const leads = new Map<string, string>();
  for (const [name, { lead }] of services) {
    if (lead === undefined) continue;
    const path = ['services', name, 'lead'];
    const other = leads.get(lead);
    if (other !== undefined) report(path, `${formatPath(path)}: ${lead} is the lead of ${other} already`);
    else leads.set(lead, name);
  }
  for (const [name, service] of services) {
    for (const [index, spare] of (service.pool ?? []).entries()) {
      const path = ['services', name, 'pool', index];
      const led = spare === undefined ? undefined : leads.get(spare);
      if (led === name) {
        report(path, `${formatPath(path)}: ${spare} is the lead itself`, 'a lead is never overwritten: take it out');
      } else if (led !== undefined) {
        report(path, `${formatPath(path)}: ${spare} is the lead of ${led}`, 'a lead is never overwritten: take it out');
      }
      if (spare !== undefined && (service.pool ?? []).indexOf(spare) < index) {
        report(path, `${formatPath(path)}: ${spare} is in this pool already`);
      }
    }
  }
}

/** Remembers who has what, and reports whoever comes second. */
class Once {
  readonly #what: string;
  readonly #hint: string;
  readonly #report: Report;
  readonly #owners = new Map<string, Path>();

  constructor(what: string, hint: string, report: Report) {
    this.#what = what;
    this.#hint = hint;
    this.#report = report;
  }

  take(value: string | null | undefined, path: Path): void {
    if (value === null || value === undefined) return;
    const owner = this.#owners.get(value);
    if (owner === undefined) this.#owners.set(value, path);
    else
      this.#report(
        path,
        `${formatPath(path)}: ${this.#what} ${value} is that of ${formatPath(owner)} already`,
        this.#hint,
      );
  }
}

function checkOnce(raw: PartlyRaw, report: Report): void {
  const volumePaths = new Once('the file', 'two names for one disk would let two hosts write it', report);
  for (const [name, volume] of entriesOf(raw.volumes)) volumePaths.take(volume.path, ['volumes', name, 'path']);
  const volumes = new Once('the volume', 'two hosts that write one disk destroy it', report);
  const hostNames = new Once('the host name', 'every host has its own', report);
  const tokens = new Once('the token file', 'a token is that of one host', report);
  const macs = new Once('the MAC address', 'every interface has its own', report);
  const addresses = new Once('the address', 'every interface has its own', report);
  for (const [name, host] of entriesOf(raw.hosts)) {
    volumes.take(host.volume, ['hosts', name, 'volume']);
    tokens.take(host.agentTokenFile, ['hosts', name, 'agentTokenFile']);
    const written = host.hostName !== undefined;
    hostNames.take(fullNameOf(name, host), written ? ['hosts', name, 'hostName'] : ['hosts', name]);
    for (const [index, link] of (host.interfaces ?? []).entries()) {
      const path = ['hosts', name, 'interfaces', index];
      macs.take(link?.mac, [...path, 'mac']);
      for (const [at, cidr] of (link?.addresses ?? []).entries()) {
        addresses.take(cidr?.split('/')[0], [...path, 'addresses', at]);
      }
    }
  }
}

function fullNameOf(name: string, host: PartlyHost): string {
  const own = host.hostName ?? name;
  return host.domain === null || host.domain === undefined ? own : `${own}.${host.domain}`;
}
