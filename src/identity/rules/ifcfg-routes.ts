// Default routes in the files of Red Hat's and SUSE's scripts: "default 10.0.0.1 - eth0" (routes(5)), and
// "default via 10.0.0.1 dev eth0" (route-eth0), which may stand in a file for all interfaces.
import { isSameNetwork, parseAddress } from '../address.ts';
import { type Correspondence, gatewayOf, type InterfacePair } from '../correspondence.ts';
import { gatewayInPlaceOf } from './network-file.ts';

export interface DefaultRoute {
  readonly line: string;
  readonly gateway: string;
  /** null: none is named. */
  readonly device: string | null;
}

const ROUTE = /^(\s*(?:default|0\.0\.0\.0(?:\/0)?|::\/0)\s+(?:via\s+)?)([0-9a-fA-F.:]+)(?=\s|$)(.*)$/;

export function defaultRouteOf(line: string): DefaultRoute | null {
  const [, , gateway = '', rest = ''] = ROUTE.exec(line) ?? [];
  if (parseAddress(gateway) === null) return null;
  const words = rest.split(/\s+/).filter((word) => word !== '');
  const named = words.includes('dev') ? words[words.indexOf('dev') + 1] : words[1];
  return { line, gateway, device: named === undefined || named === '-' ? null : named };
}

export function defaultRoutesIn(text: string): DefaultRoute[] {
  return text.split('\n').flatMap((line) => defaultRouteOf(line) ?? []);
}

/** Null: the line goes. @param pair of the file; @param isForAll the file is for no interface in particular */
export function rewriteRoute(
  line: string,
  pair: InterfacePair | null,
  isForAll: boolean,
  pairs: Correspondence,
): string | null {
  const route = defaultRouteOf(line);
  const own = route === null || !isForAll ? pair : pairOfRoute(route.gateway, route.device, pairs);
  const [, start = '', gateway = '', rest = ''] = ROUTE.exec(line) ?? [];
  if (route === null || own === null) return line;
  const next = gatewayInPlaceOf(gateway, own);
  const named = route.device === null ? rest : rest.split(route.device).join(pairs.nameFor(route.device));
  return next === null ? null : start + next + named;
}

/** Whose way out it is: of the interface that it names, that has its network, or that has one on the understudy. */
export function pairOfRoute(gateway: string, device: string | null, pairs: Correspondence): InterfacePair | null {
  const address = parseAddress(gateway);
  if (address === null) return null;
  const named = ({ lead, understudy }: InterfacePair): boolean => device === lead.name || device === understudy?.name;
  const reaches = ({ lead, understudy }: InterfacePair): boolean =>
    [...lead.addresses, ...(understudy?.addresses ?? [])].some((text) => {
      const own = parseAddress(text);
      return own !== null && isSameNetwork(own, address);
    });
  const routed = ({ understudy }: InterfacePair): boolean => gatewayOf(understudy, address.family) !== null;
  return pairs.pairs.find(named) ?? pairs.pairs.find(routed) ?? pairs.pairs.find(reaches) ?? pairs.pairs[0] ?? null;
}
