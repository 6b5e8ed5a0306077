// Where hosts find their volumes: nobody else may, and every host needs a port.
import { isLoopback } from '../base/mod.ts';
import type { Listen } from './fields.ts';
import type { PartlyRaw } from './partial.ts';
import type { Path, Report } from './problem.ts';

const AT: Path = ['storage', 'listen'];
const INSECURE: Path = ['storage', 'insecure'];

export function checkListen(raw: PartlyRaw, report: Report): void {
  const { insecure } = raw.storage ?? {};
  const listen = listenOf(raw);
  if (listen === undefined) return;
  if (listen.kind === 'unix') {
    if (insecure === true)
      report(INSECURE, 'storage.insecure: a Unix socket is not plain text on a network', 'remove it');
    return;
  }
  const { host } = listen;
  const isAny = host === '0.0.0.0' || /^[0:]+$/.test(host);
  const plain = insecure === true || listen.kind === 'tcp' || raw.tls === undefined;
  if (plain && isAny) {
    report(AT, `storage.listen: ${host} would offer every disk to every network of this machine`, 'name one address');
  } else if (plain && insecure !== true && !isLoopback(host)) {
    const why = listen.kind === 'tcp' ? 'one port for all hosts has no TLS' : 'there is no tls';
    const hint =
      listen.kind === 'tcp'
        ? `set tls (docs/tls.md) and a port for each host (${host}:10810-10841), or write storage.insecure: true`
        : 'set tls (docs/tls.md), or write storage.insecure: true';
    report(AT, `storage.listen: whoever reaches ${host} could read and write every disk, for ${why}`, hint);
  }
  checkPorts(raw, report);
}

/** One text in the file, so it is whole if it is there. */
function listenOf({ storage }: PartlyRaw): Listen | undefined {
  return storage?.listen as Listen | undefined;
}

/** A port for each host, and none of them the API's. */
function checkPorts(raw: PartlyRaw, report: Report): void {
  const { api, hosts } = raw;
  const listen = listenOf(raw);
  if (listen === undefined || listen.kind === 'unix') return;
  const [first, last] = listen.kind === 'tcp' ? [listen.port, listen.port] : [listen.firstPort, listen.lastPort];
  const { host, port } = api ?? {};
  if (port !== undefined && port >= first && port <= last && host === listen.host) {
    report(AT, `storage.listen: ${host}:${port} is where the API listens`, 'take another port');
  }
  const count = Object.keys(hosts ?? {}).length;
  if (listen.kind === 'tcp' || last - first + 1 >= count) return;
  report(AT, `storage.listen: ${count} hosts need a port each, and there are ${last - first + 1}`, 'name more ports');
}
