// The formats of network configuration that are understood.
import { ifcfg } from './ifcfg.ts';
import { ifupdown } from './ifupdown.ts';
import { netplan } from './netplan.ts';
import { networkManager } from './network-manager.ts';
import type { NetworkFormat } from './network-rule.ts';
import { networkd } from './networkd.ts';

export const networkFormats: readonly NetworkFormat[] = [ifupdown, networkd, netplan, networkManager, ifcfg];
