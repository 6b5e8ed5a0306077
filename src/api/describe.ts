// What the interface offers, for pages about it: the same routes, schemas and metrics, in front of no installation.
import type { ControllerApi, StatusView } from '../controller/mod.ts';
import { Audit } from './audit.ts';
import type { MetricDefinition } from './exposition.ts';
import { Metrics } from './metrics.ts';
import { AGENT_PACE, Pace } from './pace.ts';
import { WaitingRoom } from './waiting-room.ts';

const VERSION = '0.0.0';

/** An installation without services, hosts and engagements. */
const NOTHING: StatusView = {
  revision: 0,
  controller: { name: '', epoch: 0, since: '' },
  services: [],
  hosts: [],
  unusableRecords: [],
  components: [],
  unusableRecordsTotal: 0,
  engagements: [],
  engagementsTotal: 0,
};

const nobody = { status: async () => NOTHING } as unknown as ControllerApi;

/** The OpenAPI 3.1 description, as `GET /openapi.json` answers it. */
export async function describeInterface(): Promise<object> {
  // Loaded on demand, as the server is that listens.
  const { buildServer } = await import('./server.ts');
  const app = await buildServer({
    controller: nobody,
    metrics: new Metrics(nobody, VERSION, () => []),
    sources: [],
    audit: new Audit({ record: async () => undefined }),
    pace: new Pace(AGENT_PACE),
    waitingRoom: new WaitingRoom(),
    services: new Map(),
    version: VERSION,
    onDefect: () => undefined,
    log: () => undefined,
    warnings: () => [],
    reload: () => Promise.reject(new Error('nothing is described by it')),
    tls: null,
    closing: new AbortController().signal,
    powerTimeoutMs: 1,
    requireHost: () => undefined,
  });
  const description = app.swagger();
  await app.close();
  return description;
}

/** Every metric, in the order of `GET /metrics`. */
export async function describeMetrics(): Promise<readonly MetricDefinition[]> {
  return (await new Metrics(nobody, VERSION, () => []).exposition(0)).definitions;
}
