// The configuration as far as it is right: entries that are wrong are left out, so that what is between entries can be checked
// in the same round.
import type { Raw } from './schema.ts';

type Partly<T> = T extends readonly (infer E)[]
  ? readonly Partly<E>[]
  : T extends object
    ? { readonly [K in keyof T]?: Partly<T[K]> }
    : T;

export type PartlyRaw = Partly<Raw>;
export type PartlyHost = NonNullable<NonNullable<PartlyRaw['hosts']>[string]>;
export type PartlyService = NonNullable<NonNullable<PartlyRaw['services']>[string]>;

/** Entries of a group, those that are there. */
export function entriesOf<T>(
  group: Readonly<Record<string, T | undefined>> | undefined,
): readonly (readonly [string, T])[] {
  return Object.entries(group ?? {}).flatMap(([name, entry]) => (entry === undefined ? [] : [[name, entry] as const]));
}
