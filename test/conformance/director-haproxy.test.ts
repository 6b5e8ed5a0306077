// HAProxy passes the suite of directors, with the configuration of examples/haproxy.cfg and real HTTP servers behind it.
import { HaproxyStage, SERVICE } from '../support/haproxy-stage.ts';
import { type DirectorStage, describeDirector } from './director.ts';

const METHODS = { read: 'GET', write: 'POST' } as const;

async function createStage(): Promise<DirectorStage> {
  const stage = await HaproxyStage.start();
  const { haproxy } = stage;
  return {
    director: stage.director,
    service: SERVICE,
    lead: stage.lead,
    server: (name) => stage.server(name),
    request: async (kind) => (await haproxy.request(METHODS[kind])).server,
    open: async (kind) => {
      const { server, whole } = await haproxy.open(METHODS[kind]);
      return { server, whole, release: () => stage.servers.find(({ name }) => name === server)?.release() };
    },
    reload: () => haproxy.reload(),
    restart: async () => {
      await haproxy.kill();
      await haproxy.start();
    },
    close: () => stage.close(),
  };
}

describeDirector('haproxy', { create: createStage });
