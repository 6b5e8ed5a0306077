// The network as this machine sees it passes the suite: real hosts in namespaces on a bridge, a real sshd.
import { Lan } from '../support/net-namespace.ts';
import { ProbeInLan, SshServer, STATION_PORTS, startStation } from '../support/network-station.ts';
import { describeNetwork, type NetworkStage } from './network.ts';

async function create(): Promise<NetworkStage> {
  const lan = await Lan.make({ hosts: ['web', 'twin1'] });
  try {
    const twin = await lan.addHost('twin2', { address: lan.host('twin1').address });
    await startStation(lan, 'web');
    const ssh = await SshServer.start(lan, 'web');
    return {
      probe: await ProbeInLan.start(lan),
      link: lan.link,
      web: lan.host('web'),
      twins: [lan.host('twin1'), twin],
      freeAddress: '10.88.0.200',
      sshPort: STATION_PORTS.ssh,
      fingerprints: ssh.fingerprints,
      plug: (plugged) => lan.plug('web', plugged),
      close: async () => {
        await ssh.stop();
        await lan.close();
      },
    };
  } catch (error) {
    await lan.close();
    throw error;
  }
}

describeNetwork('local', create);
