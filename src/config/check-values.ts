// Values of one entry that do not go together.
import { BlockList, isIPv4 } from 'node:net';
import { isAbsolute, relative } from 'node:path';
import { isLoopback } from '../base/mod.ts';
import { checkListen } from './check-listen.ts';
import { entriesOf, type PartlyHost, type PartlyRaw, type PartlyService } from './partial.ts';
import { formatPath, type Path, type Report } from './problem.ts';

export function checkValues(raw: PartlyRaw, report: Report): void {
  for (const [name, host] of entriesOf(raw.hosts)) checkInterfaces(host, ['hosts', name, 'interfaces'], report);
  for (const [name, service] of entriesOf(raw.services)) checkService(service, ['services', name], report);
  checkEncryption(raw, report);
  checkListen(raw, report);
  checkStorageFolder(raw, report);
}

/** Whoever removes the state folder must not remove the only copy of a disk with it. */
function checkStorageFolder({ state, storage }: PartlyRaw, report: Report): void {
  const folder = storage?.folder;
  if (typeof folder !== 'string' || typeof state !== 'string') return;
  const way = relative(state, folder);
  if (way.startsWith('..') || isAbsolute(way)) return;
  const hint = `end understudy, move the folder (mv ${folder} ${state}-storage), and name it here`;
  report(['storage', 'folder'], 'storage.folder: backups in the state folder would be lost with it', hint);
}

/** What goes over a network is encrypted, unless somebody wrote that it need not be. */
function checkEncryption({ api, tls }: PartlyRaw, report: Report): void {
  const { host, advertise, insecure } = api ?? {};
  if (host !== undefined && !isLoopback(host) && tls === undefined && insecure !== true) {
    const hint = 'set tls (docs/tls.md), or write api.insecure: true';
    report(['api', 'host'], `api.host: beyond ${host} others would read every token, for there is no tls`, hint);
  }
  if (insecure === true && tls !== undefined) {
    report(['api', 'insecure'], 'api.insecure: the API is encrypted, for there is tls', 'remove one of the two');
  }
  if (typeof advertise === 'string' && advertise.startsWith('http:') && tls !== undefined) {
    report(['api', 'advertise'], 'api.advertise: agents would be told http, and the API speaks TLS', 'write https://');
  }
}

type Interface = NonNullable<NonNullable<PartlyHost['interfaces']>[number]>;

function checkInterfaces(host: PartlyHost, base: Path, report: Report): void {
  const names = new Set<string>();
  let gateways = 0;
  for (const [index, link] of (host.interfaces ?? []).entries()) {
    if (link === undefined) continue;
    const path = [...base, index];
    if (link.name !== undefined && names.has(link.name)) {
      report([...path, 'name'], `${formatPath([...path, 'name'])}: this host has an interface ${link.name} already`);
    }
    if (link.name !== undefined) names.add(link.name);
    for (const [at, cidr] of (link.addresses ?? []).entries()) {
      if (cidr !== undefined) checkHostAddress(cidr, [...path, 'addresses', at], report);
    }
    if (link.gateway === null || link.gateway === undefined) continue;
    gateways += 1;
    const gatewayPath = [...path, 'gateway'];
    if (gateways > 1) report(gatewayPath, `${formatPath(gatewayPath)}: this host has a default route already`);
    checkGateway(link.gateway, link, gatewayPath, report);
  }
  const addresses = host.interfaces?.[0]?.addresses;
  if (addresses?.length === 0) {
    const path = [...base, 0, 'addresses'];
    report(
      path,
      `${formatPath(path)}: the first interface is the one at which the host is reached`,
      'name its address',
    );
  }
  const first = addresses?.[0];
  if (first !== undefined && !isIPv4(first.split('/')[0] ?? '')) {
    const path = [...base, 0, 'addresses', 0];
    const hint = 'duplicates of it are looked for with ARP; write IPv6 addresses after it';
    report(path, `${formatPath(path)}: the first address must be an IPv4 address`, hint);
  }
}

/**
 * Network and broadcast address of an IPv4 network are nobody's (RFC 1122, 3.2.1.3); not so in networks of two (RFC
 * 3021).
 */
function checkHostAddress(cidr: string, path: Path, report: Report): void {
  const [address = '', length = ''] = cidr.split('/');
  if (!isIPv4(address) || Number(length) > 30) return;
  const bits = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const hosts = 2 ** (32 - Number(length));
  const part = bits % hosts;
  if (part !== 0 && part !== hosts - 1) return;
  const what = part === 0 ? 'the network itself' : 'everybody in the network';
  report(path, `${formatPath(path)}: ${cidr} means ${what}`, 'write the address of the host');
}

function checkGateway(gateway: string, link: Interface, path: Path, report: Report): void {
  const cidrs = (link.addresses ?? []).filter((cidr) => cidr !== undefined);
  if (cidrs.some((cidr) => cidr.split('/')[0] === gateway)) {
    report(path, `${formatPath(path)}: ${gateway} is the host itself`);
    return;
  }
  const family = isIPv4(gateway) ? 'ipv4' : 'ipv6';
  // A wrong address has been reported; without it nobody can say that the gateway is wrong.
  if (cidrs.length === 0 || cidrs.length < (link.addresses?.length ?? 0)) return;
  const reachable = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', length = ''] = cidr.split('/');
    reachable.addSubnet(address, Number(length), isIPv4(address) ? 'ipv4' : 'ipv6');
  }
  if (reachable.check(gateway, family)) return;
  report(
    path,
    `${formatPath(path)}: ${gateway} is not in the network of ${cidrs.join(', ')}`,
    'it could not be reached',
  );
}

function checkService(service: PartlyService, base: Path, report: Report): void {
  const { check, objective } = service;
  for (const key of ['path', 'contains'] as const) {
    if (check?.kind !== 'tcp' || check[key] === undefined || check[key] === null) continue;
    const path = [...base, 'check', key];
    report(path, `${formatPath(path)}: a tcp check has no ${key}`, 'remove it, or write kind: http', 'key');
  }
  checkSignals(service, base, report);
  if (objective?.fast !== undefined && objective.slow !== undefined && objective.fast > objective.slow) {
    const path = [...base, 'objective', 'fast'];
    const hint = `at most ${objective.slow}s`;
    report(path, `${formatPath(path)}: the short window is longer than the long one`, hint);
  }
}

/** What is watched, once each, and something that another host could help. */
function checkSignals({ objective, signals }: PartlyService, base: Path, report: Report): void {
  const names = new Set<string>(objective?.signal === undefined ? [] : [objective.signal]);
  let helps = objective !== undefined;
  for (const [index, signal] of (signals ?? []).entries()) {
    if (signal === undefined || signal.name === undefined) helps = true;
    else {
      const path = [...base, 'signals', index, 'name'];
      if (names.has(signal.name)) report(path, `${formatPath(path)}: "${signal.name}" is watched already`);
      names.add(signal.name);
      if (signal.outside !== true) helps = true;
    }
  }
  if (helps) return;
  const path = formatPath(base);
  if (names.size === 0) {
    report(base, `${path}: nothing is watched`, 'write objective, or signals', 'key');
  } else {
    report([...base, 'signals'], `${path}: all signals are outside, so nothing could ask for a host`);
  }
}
