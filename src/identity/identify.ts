// Who a host is, by what its image says.
import { UnderstudyError } from '../base/mod.ts';
import { formatAddress, isShared, parseAddress } from './address.ts';
import type { HostIdentity, InterfaceIdentity } from './contract.ts';
import { declaredInterfaces, hostNameIn, nameOfOwnAddress } from './rules/mod.ts';
import type { FileTree } from './tree/mod.ts';

/** Of a name with its domain, RFC 1035; what is longer is what somebody put in its place. */
const NAME_CHARS_MAX = 253;

/** @throws IDENTITY_FAILED when it has no name, or neither an address of its own nor one from a server */
export async function identify(tree: FileTree): Promise<HostIdentity> {
  const name = (await hostNameIn(tree)) ?? '';
  const interfaces = await interfacesOf(tree);
  const isNamed = name !== '' && name.length <= NAME_CHARS_MAX;
  if (!isNamed || interfaces.length === 0) {
    const what = isNamed ? 'no address of its own' : 'no host name that a host can have';
    throw new UnderstudyError('IDENTITY_FAILED', `the image has ${what}: say who its host is`);
  }
  const [hostName = name, ...rest] = name.split('.');
  const addresses = new Set(interfaces.flatMap((one) => one.addresses.flatMap((text) => parseAddress(text)?.ip ?? [])));
  const domain = rest.join('.') || domainIn(await nameOfOwnAddress(tree, hostName, addresses), hostName);
  return { hostName, ...(domain === '' ? {} : { domain }), interfaces };
}

function domainIn(fullName: string | null, hostName: string): string {
  return fullName === null ? '' : fullName.slice(hostName.length + 1);
}

/**
 * One for each name or hardware address that any configuration has, in the order in which they are declared; without
 * addresses where a server gives them.
 */
async function interfacesOf(tree: FileTree): Promise<readonly InterfaceIdentity[]> {
  const found: { name: string; mac: string; addresses: string[] }[] = [];
  for (const { name, mac, addresses } of await declaredInterfaces(tree)) {
    const own = addresses.filter((address) => !isShared(address)).map(formatAddress);
    if (own.length === 0 && addresses.length > 0) continue;
    const same = found.find((one) => (mac !== null && one.mac === mac) || (name !== null && one.name === name));
    if (same === undefined) found.push({ name: name ?? '', mac: mac ?? '', addresses: own });
    else same.addresses.push(...own.filter((address) => !same.addresses.includes(address)));
  }
  return found;
}
