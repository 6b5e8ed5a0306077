// What to tell HAProxy next about one server in one backend, given what it says now: pure, so that a server found in
// any state, half added, drained, in maintenance, at another address, comes to the state that is wanted.
import { isIPv6 } from 'node:net';
import type { HaproxySettings } from './settings.ts';
import type { BackendServer } from './state.ts';

/** Orders to give, or the state is as wanted, or HAProxy's checks have to come to it. */
export type Step = { readonly orders: readonly string[] } | 'done' | 'wait';

export interface Address {
  readonly address: string;
  readonly port: number;
}

type CheckSettings = Pick<HaproxySettings, 'checkIntervalMs' | 'checkPasses' | 'checkFailures' | 'connectionsMax'>;

/** How often a server is checked that is being admitted. */
const NEW_CHECK_MS = 250;

/**
 * Into the rotation. The way leads over "drain", in which HAProxy checks a server but sends it nothing: a server that
 * is made ready at once is taken for up, and gets requests, until its first checks have failed.
 * @param place BACKEND/SERVER
 */
export function stepToAdmit(place: string, seen: BackendServer | null, at: Address, settings: CheckSettings): Step {
  const underCheck = [`enable health ${place}`, `set server ${place} state drain`];
  if (seen === null) return { orders: [addOrder(place, at, settings), ...underCheck] };
  if (seen.address !== at.address || seen.port !== at.port) {
    const move = `set server ${place} addr ${at.address} port ${at.port}`;
    // Out of maintenance it starts with checks of the new address.
    return { orders: [`set server ${place} state maint`, move, ...underCheck] };
  }
  if (seen.ordered === 'maint') return { orders: underCheck };
  if (!seen.checked) return { orders: [`enable health ${place}`] };
  if (seen.weight === 0) return { orders: [`set server ${place} weight 100%`] };
  if (!seen.passed || !seen.up) return 'wait';
  return seen.ordered === 'none' ? 'done' : { orders: [`set server ${place} state ready`] };
}

function addOrder(place: string, at: Address, settings: CheckSettings): string {
  const { checkIntervalMs, checkPasses, checkFailures, connectionsMax } = settings;
  const address = isIPv6(at.address) ? `[${at.address}]` : at.address;
  // "fastinter" is for a server whose checks have not all passed or failed yet, as one that was just added.
  const fastMs = Math.min(checkIntervalMs, NEW_CHECK_MS);
  const check = `check inter ${checkIntervalMs}ms fastinter ${fastMs}ms rise ${checkPasses} fall ${checkFailures}`;
  const limit = connectionsMax === null ? '' : ` maxconn ${connectionsMax}`;
  return `add server ${place} ${address}:${at.port} ${check}${limit}`;
}

/** Nothing new. In maintenance or not there at all it gets nothing either. */
export function stepToDrain(place: string, seen: BackendServer | null): Step {
  if (seen === null || seen.ordered !== 'none') return 'done';
  return { orders: [`set server ${place} state drain`] };
}

/** Out of the backend. HAProxy deletes only what is in maintenance and has no connection left. */
export function stepToRemove(place: string, seen: BackendServer | null): Step {
  if (seen === null) return 'done';
  const out = seen.ordered === 'maint' ? [] : [`set server ${place} state maint`];
  return { orders: [...out, `shutdown sessions server ${place}`, `del server ${place}`] };
}
