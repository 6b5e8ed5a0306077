// A service behind a real HAProxy with the configuration of examples/haproxy.cfg: the lead web1 that it names, spares that it
// does not know, and the director that is tested. Everything is ended by `close()`.
import { type Call, type EpochGate, memoryEpochGate } from '../../src/base/mod.ts';
import {
  type DirectorServer,
  HaproxyDirector,
  type HaproxySettings,
  haproxySettings,
  type ObservedServer,
  type Traffic,
} from '../../src/director/mod.ts';
import { type Changes, Haproxy } from './haproxy.ts';
import { WebServer } from './web-server.ts';

export const SERVICE = 'wiki';

export function callOf(epoch = 1, signal: AbortSignal = new AbortController().signal): Call {
  return { epoch, signal };
}

export class HaproxyStage {
  readonly lead: WebServer;
  readonly haproxy: Haproxy;
  readonly settings: HaproxySettings;
  readonly director: HaproxyDirector;
  readonly servers: WebServer[];

  private constructor(lead: WebServer, haproxy: Haproxy, settings: HaproxySettings, gate: EpochGate) {
    this.lead = lead;
    this.servers = [lead];
    this.haproxy = haproxy;
    this.settings = settings;
    this.director = new HaproxyDirector({ services: { [SERVICE]: settings }, gate });
  }

  /** @param settings in place of those that make checks quick */
  static async start(settings: Partial<HaproxySettings> = {}, changes: Changes = []): Promise<HaproxyStage> {
    const lead = await WebServer.start('web1');
    const haproxy = Haproxy.example(lead, changes);
    const quick = { checkIntervalMs: 100, checkFailures: 2 };
    const named = { socket: haproxy.admin, backend: 'wiki', readsBackend: 'wiki-reads' };
    const all = haproxySettings.parse({ ...named, ...quick, ...settings });
    const stage = new HaproxyStage(lead, haproxy, all, memoryEpochGate());
    try {
      await haproxy.start();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async server(name: string): Promise<WebServer> {
    const server = await WebServer.start(name);
    this.servers.push(server);
    return server;
  }

  async admit(server: WebServer, traffic: Traffic, call = callOf()): Promise<void> {
    await this.director.admit(SERVICE, entryOf(server, traffic), call);
  }

  async seen(name: string): Promise<ObservedServer | undefined> {
    const { servers } = await this.director.observe(SERVICE, callOf());
    return servers.find((server) => server.name === name);
  }

  async close(): Promise<void> {
    await this.haproxy.stop();
    for (const server of this.servers) await server.stop();
  }
}

export function entryOf({ name, address, port }: WebServer, traffic: Traffic): DirectorServer {
  return { name, address, port, traffic };
}

/** Plays a test on a stage of its own. */
export async function onHaproxy(
  play: (stage: HaproxyStage) => Promise<void>,
  settings: Partial<HaproxySettings> = {},
  changes: Changes = [],
): Promise<void> {
  const stage = await HaproxyStage.start(settings, changes);
  try {
    await play(stage);
  } finally {
    await stage.close();
  }
}
