/** A service of understudy.yaml for tests that need one and do not look at what it says: lead web1, spare spare1. */
export const WIKI_SERVICE = `services:
  wiki:
    lead: web1
    pool: [spare1]
    port: 80
    traffic: reads
    check: { path: / }
    director: { driver: haproxy, settings: { socket: haproxy.sock, backend: wiki, readsBackend: wiki-reads } }
    objective: { signal: probe.milliseconds, below: 400 }
`;
