// Which port a host has: the same for as long as there are enough, because its client looks for it there.
import { createServer } from 'node:net';
import { UnderstudyError } from '../../base/mod.ts';
import type { GatewayRecord, NetworkListen } from './contract.ts';

export interface PortQuestion {
  readonly listen: NetworkListen;
  readonly gateways: Readonly<Record<string, GatewayRecord>>;
  /** Gateways that are in use now. */
  readonly inUse: ReadonlySet<string>;
  readonly isFree: (port: number) => Promise<boolean>;
}

/** @throws STORAGE_FAILED when no port of the range is left */
export async function choosePort({ listen, gateways, inUse, isFree }: PortQuestion): Promise<number> {
  if (listen.kind === 'tcp') return listen.port;
  const { host, firstPort, lastPort } = listen;
  const entries = Object.entries(gateways);
  const kept = new Set(entries.map(([, { port }]) => port));
  const held = new Set(entries.filter(([name]) => inUse.has(name)).map(([, { port }]) => port));
  // Those that nobody ever had come first; a host that is not attached loses its own only when there are no others.
  for (const taken of [kept, held]) {
    for (let port = firstPort; port <= lastPort; port += 1) {
      if (!taken.has(port) && (await isFree(port))) return port;
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
