// Somebody who could take the lead's part, where nobody is named: so that `inspect` lists what a plan would list, which
// looks at files as rules before have left them. As many cards and addresses as the lead has, and its gateways.
import { parseAddress } from './address.ts';
import type { HostIdentity } from './contract.ts';
import type { Makers } from './rules/mod.ts';

/** Names and addresses are of those that no host has (RFC 2606, RFC 5737, RFC 3849), the hardware addresses local. */
export function standInFor(lead: HostIdentity): HostIdentity {
  let number = 0;
  const addressLike = (cidr: string): string => {
    number += 1;
    const length = cidr.split('/')[1] ?? '';
    const own = parseAddress(cidr)?.family === 6 ? `2001:db8::${number.toString(16)}` : `198.51.100.${number % 255}`;
    return length === '' ? own : `${own}/${length}`;
  };
  const { hostName, domain, interfaces, agent } = lead;
  return {
    hostName: hostName === 'understudy' ? 'understudy-2' : 'understudy',
    ...(domain === undefined ? {} : { domain }),
    interfaces: interfaces.map(({ addresses, ...one }, index) => ({
      ...one,
      mac: `02:00:00:00:00:${(index % 256).toString(16).padStart(2, '0')}`,
      addresses: addresses.map(addressLike),
    })),
    agent: { host: 'understudy', controller: agent?.controller ?? 'https://controller.example', token: 'stand-in' },
  };
}

/** Nobody will have these keys. */
export const standInMakers: Makers = {
  foresee: () => {},
  sshHostKey: async () => ({ privateKey: '', publicKey: '' }),
};
