// Stamps of volumes and the floor of an installation, read and written. One writer: the node that has the state folder;
// one that was paused meanwhile finds a higher epoch in the floor, and writes nothing.
import { isDeepStrictEqual } from 'node:util';
import { epochStale, messageOf, UnderstudyError } from '../../base/mod.ts';
import { stateOf } from './agreement.ts';
import type { Floor, Stamp, Texts, VolumeState } from './contract.ts';
import { floorFlaw, stampFlaw } from './flaws.ts';

const FLOOR = 'installation';
const GATEWAYS = 'gateways';

export interface StampsOptions {
  readonly texts: Texts;
  /** `diskKey` of the storage of a volume now. */
  readonly diskOf: (volume: string) => string | null;
  readonly pathOf: (volume: string) => string;
}

/** What lies under one name: a stamp, or why it cannot be used. */
export type ReadStamp = { readonly key: string } & (
  | { readonly stamp: Stamp; readonly flaw: null }
  | { readonly stamp: null; readonly flaw: string }
);

export class Stamps {
  readonly #options: StampsOptions;
  /** The highest epoch that this node was called with. */
  #epoch = 0;
  /** The name under which the stamp of a volume lies. */
  readonly #keys = new Map<string, string>();
  /** Names under which stamps lay by the volume that they are of, as it was when one was looked for first. */
  #names: Promise<ReadonlyMap<string, string>> | null = null;

  constructor(options: StampsOptions) {
    this.#options = options;
  }

  /** Under which its stamp lies: where it cannot be reached now, as it was last. */
  diskOf(volume: string): string {
    return this.#options.diskOf(volume) ?? this.#keys.get(volume) ?? `name-${volume}`;
  }

  /** All that are there, also of volumes that the configuration has no more. */
  async all(): Promise<readonly ReadStamp[]> {
    const names = (await this.#options.texts.names()).filter((name) => isStampName(name));
    return Promise.all(names.map(async (key) => readStamp(key, await this.#options.texts.read(key))));
  }

  /**
   * Of the storage that a volume names, or of one that had its name, where this storage has none.
   * @returns null: there is none @throws RECORD_UNUSABLE for one that is damaged
   */
  async of(volume: string): Promise<Stamp | null> {
    const disk = this.#options.diskOf(volume);
    const found = (disk === null ? null : await this.#readIfThere(disk)) ?? (await this.#byName(volume));
    if (found === null) return null;
    if (found.stamp === null) {
      throw new UnderstudyError('RECORD_UNUSABLE', `the stamp ${found.key} of ${volume} cannot be used: ${found.flaw}`);
    }
    this.#keys.set(volume, found.key);
    return found.stamp;
  }

  async #readIfThere(key: string): Promise<ReadStamp | null> {
    const text = await this.#options.texts.read(key);
    return text === null ? null : readStamp(key, text);
  }

  /**
   * All stamps are read once for it, not for each volume that has none; what lies under a key now is read again.
   */
  async #byName(volume: string): Promise<ReadStamp | null> {
    this.#names ??= this.all().then(
      (all) => new Map(all.flatMap(({ key, stamp }) => (stamp === null ? [] : [[stamp.volume, key] as const]))),
    );
    const key = this.#keys.get(volume) ?? (await this.#names).get(volume);
    const found = key === undefined ? null : await this.#readIfThere(key);
    return found?.stamp?.volume === volume ? found : null;
  }

  /**
   * To be called before the record of the volume is changed. Durable when it resolves.
   * @throws EPOCH_STALE when a later controller has begun meanwhile
   */
  async keep(volume: string, from: VolumeState, to: VolumeState): Promise<void> {
    const { pathOf, texts } = this.#options;
    const { epoch } = await this.floor();
    if (epoch > this.#epoch && this.#epoch > 0) throw epochStale(`volume/${volume}`, this.#epoch, epoch);
    const before = this.#keys.get(volume);
    const key = this.diskOf(volume);
    const stamp: Stamp = {
      format: 1,
      volume,
      path: pathOf(volume),
      disk: key,
      engagement: engagementOf(to) ?? engagementOf(from),
      epoch: Math.max(epoch, this.#epoch),
      from: stateOf(from),
      to: stateOf(to),
      writtenAt: new Date().toISOString(),
    };
    await texts.write(key, `${JSON.stringify(stamp, null, 2)}\n`);
    if (before !== undefined && before !== key) await texts.remove(before);
    this.#keys.set(volume, key);
  }

  /** What was kept last of the gateways; null: nothing that can be used. */
  async gateways(flawOf: (value: unknown) => string | null): Promise<unknown> {
    return parsed<unknown>(await this.#options.texts.read(GATEWAYS), flawOf).value;
  }

  async keepGateways(gateways: unknown): Promise<void> {
    await this.#options.texts.write(GATEWAYS, `${JSON.stringify(gateways, null, 2)}\n`);
  }

  /** A call with this epoch was let through: stamps that are written from now on say so. */
  saw(epoch: number): void {
    this.#epoch = Math.max(this.#epoch, epoch);
  }

  /** Never lower than what any stamp says, also where the floor itself was lost. */
  async floor(): Promise<Floor> {
    const text = await this.#options.texts.read(FLOOR);
    const { value, flaw } = parsed<Floor>(text, floorFlaw);
    if (value !== null) return value;
    const stamps = (await this.all()).flatMap(({ stamp }) => (stamp === null ? [] : [stamp]));
    return {
      format: 1,
      epoch: Math.max(0, ...stamps.map(({ epoch }) => epoch)),
      sequence: Math.max(0, ...stamps.map(({ engagement }) => sequenceOf(engagement))),
      unsettled: text === null ? null : `${FLOOR}.json beside the stamps cannot be used: ${flaw}`,
    };
  }

  /** What is lower than what is there changes nothing. */
  async raise(to: { readonly epoch?: number; readonly sequence?: number }): Promise<void> {
    await this.#change((floor) => ({
      ...floor,
      epoch: Math.max(floor.epoch, to.epoch ?? 0),
      sequence: Math.max(floor.sequence, to.sequence ?? 0),
    }));
  }

  /** The store is not believed any more, also after the next start. The first reason stays. */
  async unsettle(why: string): Promise<void> {
    await this.#change((floor) => ({ ...floor, unsettled: floor.unsettled ?? why }));
  }

  /** The store was made what the stamps say. */
  async settle(): Promise<void> {
    await this.#change((floor) => ({ ...floor, unsettled: null }));
  }

  async #change(change: (floor: Floor) => Floor): Promise<void> {
    const before = await this.floor();
    const after = change(before);
    if (isDeepStrictEqual(before, after)) return;
    await this.#options.texts.write(FLOOR, `${JSON.stringify(after, null, 2)}\n`);
  }
}

function readStamp(key: string, text: string | null): ReadStamp {
  const { value, flaw } = parsed<Stamp>(text, stampFlaw);
  return value === null ? { key, stamp: null, flaw } : { key, stamp: value, flaw: null };
}

/** Other texts in the folder are not stamps. */
function isStampName(name: string): boolean {
  return /^(inode|disk|path|name)-/.test(name);
}

function engagementOf({ content }: VolumeState): string | null {
  return 'engagement' in content ? content.engagement : null;
}

/** The number at the end of the name of an engagement. */
export function sequenceOf(engagement: string | null): number {
  return Number(/-(\d{1,12})$/.exec(engagement ?? '')?.[1] ?? 0);
}

type Parsed<T> = { readonly value: T; readonly flaw: null } | { readonly value: null; readonly flaw: string };

function parsed<T>(text: string | null, flawOf: (value: unknown) => string | null): Parsed<T> {
  if (text === null) return { value: null, flaw: 'it is gone' };
  try {
    const value: unknown = JSON.parse(text);
    const flaw = flawOf(value);
    return flaw === null ? { value: value as T, flaw } : { value: null, flaw };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { value: null, flaw: `it is not JSON (${messageOf(error)})` };
  }
}

/** A header as text; null: it cannot be used. */
export function parseHeader<T>(text: string | null, flawOf: (value: unknown) => string | null): T | null {
  return parsed<T>(text, flawOf).value;
}
