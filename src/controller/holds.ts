// Holds: what people have said must not happen by itself. One record for each; one that cannot be used holds all the
// same, because somebody meant something by it.
import { shown } from '../base/mod.ts';
import type { ServiceConfig } from '../config/mod.ts';
import type { HoldView } from './contract-parts.ts';
import { iso } from './journal.ts';
import type { ControllerParts } from './parts.ts';
import { type Hold, keys } from './record.ts';
import { listRecords } from './records.ts';

/** A hold as it stands now. */
interface Standing extends Hold {
  readonly revision: number;
  /** Why its record cannot be used; null: it can. */
  readonly flaw: string | null;
}

export class Holds {
  readonly #all: readonly Standing[];
  readonly #nowMs: number;

  private constructor(all: readonly Standing[], nowMs: number) {
    this.#all = all;
    this.#nowMs = nowMs;
  }

  /** @throws STORE_FAILED */
  static async read({ store, wall }: Pick<ControllerParts, 'store' | 'wall'>): Promise<Holds> {
    const { usable, unusable } = await listRecords<Hold>(store, keys.holds);
    const good = usable.map(({ value, revision }) => ({ ...value, revision, flaw: null }));
    return new Holds([...good, ...unusable.flatMap(damaged)], wall());
  }

  /** Of a service itself, and the maintenance of its lead. */
  ofService({ name, lead }: Pick<ServiceConfig, 'name' | 'lead'>): readonly Hold[] {
    return this.#valid().filter((hold) => hold.name === (hold.kind === 'maintenance' ? lead : name));
  }

  ofHost(host: string): readonly Hold[] {
    return this.#valid().filter(({ kind, name, hosts }) =>
      kind === 'maintenance' ? name === host : hosts.includes(host),
    );
  }

  /** Why the policy may not do this to a service now; null: it may. */
  against(service: Pick<ServiceConfig, 'name' | 'lead'>, action: string): string | null {
    const found = this.ofService(service).find(({ kind }) => kind !== 'dismissal' || action === 'scale-out');
    return found === undefined ? null : holdText(found);
  }

  /** Why a host may take part in no engagement, whoever asks; null: it may. */
  maintenanceOf(host: string): string | null {
    const found = this.ofHost(host).find(({ kind }) => kind === 'maintenance');
    return found === undefined ? null : holdText(found);
  }

  /** Of a service, whose time is over. */
  expired(service: string): readonly (Hold & { readonly revision: number })[] {
    return this.#all.filter((hold) => hold.kind !== 'maintenance' && hold.name === service && !this.#holds(hold));
  }

  #valid(): readonly Hold[] {
    return this.#all.filter((hold) => this.#holds(hold));
  }

  #holds({ untilMs }: Hold): boolean {
    return untilMs === null || untilMs > this.#nowMs;
  }
}

/** By its key alone, which says of what it is. */
function damaged({ key, revision, why }: { readonly key: string; readonly revision: number; readonly why: string }) {
  const [, kind, ...rest] = key.split('/');
  if (kind !== 'pause' && kind !== 'dismissal' && kind !== 'maintenance') return [];
  const name = rest.join('/');
  return [{ kind, name, hosts: [], by: null, sinceMs: 0, untilMs: null, revision, flaw: why } as const];
}

/** "wiki is paused by alice until 2026-01-01T00:00:00.000Z". */
export function holdText(hold: Hold & { readonly flaw?: string | null }): string {
  const { kind, name, hosts, by, untilMs, flaw } = hold;
  const who = by === null ? '' : ` by ${shown(by)}`;
  const until = untilMs === null ? '' : ` until ${iso(untilMs)}`;
  const damage = flaw == null ? '' : ` (its record cannot be used: ${shown(flaw)})`;
  if (kind === 'pause') return `${shown(name)} is paused${who}${until}${damage}`;
  if (kind === 'maintenance') return `${shown(name)} is in maintenance${who === '' ? '' : `, ordered${who}`}${damage}`;
  const spares = hosts.length === 0 ? 'a spare' : hosts.join(' and ');
  return `${spares} of ${shown(name)} ${hosts.length > 1 ? 'were' : 'was'} dismissed${who}; held${until}${damage}`;
}

export function holdView(hold: Hold): HoldView {
  const { kind, name, by, sinceMs, untilMs } = hold;
  return {
    ...{ kind, name: shown(name), by },
    since: iso(sinceMs),
    until: untilMs === null ? null : iso(untilMs),
    text: holdText(hold),
  };
}
