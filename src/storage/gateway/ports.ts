// Which port a host has: the one at its place in the configuration where that is free, and then the same for as long as
// there are enough, because its client looks for it there.
import { createServer } from 'node:net';
import { UnderstudyError } from '../../base/mod.ts';
import type { GatewayRecord, NetworkListen } from './contract.ts';

export interface PortQuestion {
  readonly listen: NetworkListen;
  /** How many volumes the configuration has before the host's, and how many in all. */
  readonly place: { readonly before: number; readonly all: number };
  readonly gateways: Readonly<Record<string, GatewayRecord>>;
  /** Gateways that are in use now. */
  readonly inUse: ReadonlySet<string>;
  readonly isFree: (port: number) => Promise<boolean>;
}

/** @throws STORAGE_FAILED when no port of the range is left */
export async function choosePort({ listen, place, gateways, inUse, isFree }: PortQuestion): Promise<number> {
  if (listen.kind === 'tcp') return listen.port;
  const { host, firstPort, lastPort } = listen;
  const entries = Object.entries(gateways);
  const kept = new Set(entries.map(([, { port }]) => port));
  const held = new Set(entries.filter(([name]) => inUse.has(name)).map(([, { port }]) => port));
  const portAt = (index: number): number => firstPort + index;
  const all = Array.from({ length: lastPort - firstPort + 1 }, (_, index) => portAt(index));
  // Its own, then one that no other host of the configuration has at its place.
  const inOrder = [portAt(place.before), ...all.filter((port) => port >= portAt(place.all)), ...all];
  // Those that nobody ever had come first; a host that is not attached loses its own only when there are no others.
  for (const taken of [kept, held]) {
    for (const port of inOrder) {
      if (all.includes(port) && !taken.has(port) && (await isFree(port))) return port;
    }
  }
  const message = `no port from ${firstPort} to ${lastPort} of ${host} is free: name a longer range in storage.listen`;
  throw new UnderstudyError('STORAGE_FAILED', message);
}

/** Whether a server can listen there now. */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
