// What a case of a service is, and units as packages leave them.
import type { Action } from '../../src/identity/mod.ts';
import type { MemoryNode } from './memory-tree.ts';

export interface ServiceCase {
  readonly files: Readonly<Record<string, MemoryNode>>;
  /** Paths and what is to become of them; files that are not named here are of no interest to the rule. */
  readonly finds: readonly (readonly [path: string, action: Action])[];
  /** What files say afterwards; null: they are gone. Those not named are as before. */
  readonly after?: Readonly<Record<string, string | null>>;
  /** Texts of the image that no report may quote. */
  readonly secrets?: readonly string[];
  /** What it makes is made of what was there, so that another plan makes another. */
  readonly derives?: boolean;
}

export const UNIT = '[Unit]\nDescription=x\n[Service]\nExecStart=/usr/bin/true\n';
export const wants = (target: string, unit: string): string => `/etc/systemd/system/${target}.target.wants/${unit}`;
export const starts = (unit: string, target = 'multi-user'): Record<string, MemoryNode> => ({
  [`/usr/lib/systemd/system/${unit}`]: UNIT,
  [wants(target, unit)]: { link: `/usr/lib/systemd/system/${unit}` },
});
