// Which interface of the understudy takes the place of which of the lead's.
import type { InterfaceIdentity } from './contract.ts';

export interface InterfacePair {
  readonly lead: InterfaceIdentity;
  /**
   * Under the name that it has in the lead's configuration once that is the understudy's: a bond stays a bond, and
   * keeps its name. null: the understudy has fewer interfaces.
   */
  readonly understudy: InterfaceIdentity | null;
}

/**
 * Addresses find addresses first, for a card without any is not a place for one; then by equal name where there is one,
 * else in the order in which they are listed.
 */
export function pairInterfaces(
  leads: readonly InterfaceIdentity[],
  understudies: readonly InterfaceIdentity[],
): readonly InterfacePair[] {
  const has = ({ addresses }: InterfaceIdentity): boolean => addresses.length > 0;
  const free = new Set(understudies);
  const found = new Map<InterfaceIdentity, InterfaceIdentity>();
  const match = (fits: (one: InterfaceIdentity, other: InterfaceIdentity) => boolean): void => {
    for (const one of leads) {
      const other = found.has(one) ? undefined : [...free].find((each) => fits(one, each));
      if (other === undefined) continue;
      found.set(one, other);
      free.delete(other);
    }
  };
  match((one, other) => one.name === other.name && has(one) === has(other));
  match((one, other) => has(one) && has(other));
  match((one, other) => one.name === other.name);
  match(() => true);
  return leads.map((one) => ({ lead: one, understudy: found.get(one) ?? null }));
}
