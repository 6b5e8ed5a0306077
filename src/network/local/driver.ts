// The network as this machine sees it: every look is made from the network namespace of the process.
import { isIP } from 'node:net';
import { type Call, UnderstudyError } from '../../base/mod.ts';
import type { Answer, NetworkProbe, ServiceCheck } from '../contract.ts';
import { arpHolders } from './arp.ts';
import { checkService } from './service-check.ts';
import { sshHostKeys } from './ssh-keys.ts';

export class LocalNetwork implements NetworkProbe {
  async holders(link: string, address: string, call: Call): Promise<readonly string[]> {
    return arpHolders(link, address, call.signal);
  }

  async check(address: string, check: ServiceCheck, call: Call): Promise<Answer> {
    requireAddress(address);
    return checkService(address, check, call.signal);
  }

  async sshHostKeys(address: string, port: number, call: Call): Promise<readonly string[]> {
    requireAddress(address);
    return sshHostKeys(address, port, call.signal);
  }
}

/** A name would be looked up, and the answer of a name server is no proof of who a host is. */
function requireAddress(address: string): void {
  if (isIP(address) === 0) throw new UnderstudyError('NETWORK_FAILED', `${JSON.stringify(address)} is no IP address`);
}
