// The formats of network configuration that are understood.

import type { FileTree } from '../tree/mod.ts';
import { ifcfg } from './ifcfg.ts';
import { ifupdown } from './ifupdown.ts';
import { netplan } from './netplan.ts';
import type { DeclaredInterface } from './network-file.ts';
import { networkManager } from './network-manager.ts';
import { declaredIn, type NetworkFormat } from './network-rule.ts';
import { networkd } from './networkd.ts';

export const networkFormats: readonly NetworkFormat[] = [ifupdown, networkd, netplan, networkManager, ifcfg];

/** All that an image declares, in any of them. */
export async function declaredInterfaces(tree: FileTree): Promise<readonly DeclaredInterface[]> {
  const found: DeclaredInterface[] = [];
  for (const format of networkFormats) found.push(...(await declaredIn(format, tree)).interfaces);
  return found;
}
