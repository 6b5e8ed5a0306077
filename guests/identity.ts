// Who the guests are. The lead is an old web server of a workshop; the spare has little work of its own.

export interface GuestIdentity {
  readonly hostName: string;
  /** CIDR. */
  readonly address: string;
  readonly gateway: string;
  /** Of the virtual machine's card, not in the image. */
  readonly mac: string;
  /** As the guest names its card. */
  readonly link: string;
  readonly machineId: string;
}

export const GATEWAY = '10.90.0.1';

export const LEAD: GuestIdentity = {
  hostName: 'web1',
  address: '10.90.0.11/24',
  gateway: GATEWAY,
  mac: '52:54:00:90:00:11',
  link: 'eth0',
  machineId: '4b7f2d1c9a3e4f60b1d25c8e7a904f11',
};

export const SPARE: GuestIdentity = {
  hostName: 'spare1',
  address: '10.90.0.21/24',
  gateway: GATEWAY,
  mac: '52:54:00:90:00:21',
  link: 'eth0',
  machineId: 'd05e6a8b47c14f3f9e0b62d87c31ab21',
};

/** What a guest says of itself, by path: everything but its SSH host keys. */
export function identityFiles(identity: GuestIdentity): Readonly<Record<string, string>> {
  const { hostName, address, gateway, link, machineId } = identity;
  const interfaces = [
    'auto lo',
    'iface lo inet loopback',
    '',
    `auto ${link}`,
    `iface ${link} inet static`,
    `    address ${address}`,
    `    gateway ${gateway}`,
  ];
  return {
    '/etc/hostname': `${hostName}\n`,
    '/etc/hosts': `127.0.0.1\tlocalhost\n${address.replace(/\/.*/, '')}\t${hostName}\n`,
    '/etc/network/interfaces': `${interfaces.join('\n')}\n`,
    '/etc/machine-id': `${machineId}\n`,
  };
}
