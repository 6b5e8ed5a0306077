// The installation of simulations: two services, whose pools share two of three spares.
import type { Configuration, HostConfig, ServiceConfig } from '../../src/config/mod.ts';

function host(name: string, number: number): HostConfig {
  const mac = `52:54:00:00:00:${String(number).padStart(2, '0')}`;
  return {
    name,
    volume: name,
    hostName: name,
    domain: null,
    interfaces: [{ name: 'eth0', mac, addresses: [`10.0.0.${number}/24`], gateway: null }],
    address: `10.0.0.${number}`,
    link: 'br0',
    power: { driver: 'sim', settings: {} },
    agentTokenFile: null,
    expendable: false,
  };
}

export function service(name: string, lead: string, pool: string[]): ServiceConfig {
  return {
    name,
    lead,
    pool,
    mode: 'automatic',
    hostsMax: 3,
    traffic: 'reads',
    director: { driver: 'sim', settings: {} },
    port: 80,
    check: { kind: 'http', path: '/', contains: null, timeoutMs: 1000 },
    signals: [
      {
        name: 'probe.milliseconds',
        objective: { below: 300, fastSeconds: 5, slowSeconds: 20, share: 0.5 },
        baseline: null,
        outside: false,
        source: { kind: 'agent' },
      },
    ],
    windows: { fastSeconds: 5, slowSeconds: 20 },
    scaleOut: { cooldownSeconds: 0, atOnce: 1 },
    scaleIn: { windowSeconds: 30, headroom: 0.8, cooldownSeconds: 10 },
    timeoutsMs: { off: 5000, boot: 60_000, drain: 5000, call: 5000, copy: 60_000 },
    acceptUnknown: [],
    portion: null,
  };
}

const hosts = [host('web1', 11), host('web2', 12), host('spare1', 21), host('spare2', 22), host('spare3', 23)];
export const config: Configuration = {
  path: '/sim/understudy.yaml',
  state: '/sim',
  tls: null,
  api: { host: '127.0.0.1', port: 0, advertise: 'http://127.0.0.1', tokensFile: '/sim/tokens', insecure: false },
  storage: { folder: '/sim', listen: { kind: 'unix' }, insecure: false, backgroundRate: null, overlayBytesMax: 1e9 },
  identity: { rulesFile: null, kernelMount: false },
  volumes: new Map(hosts.map(({ name }) => [name, { name, path: `/sim/${name}` }])),
  hosts: new Map(hosts.map((one) => [one.name, one])),
  services: new Map([
    ['wiki', service('wiki', 'web1', ['spare1', 'spare2', 'spare3'])],
    ['shop', service('shop', 'web2', ['spare2', 'spare3'])],
  ]),
};
