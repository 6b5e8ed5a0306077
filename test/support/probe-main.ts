// Runs the local network probe for ProbeInLan (network-station.ts), in the network namespace that it was started in.
import { codeOf, messageOf } from '../../src/base/mod.ts';
import { LocalNetwork } from '../../src/network/mod.ts';
import type { Look, ProbeOrder, ProbeReply } from './network-station.ts';

const probe = new LocalNetwork();
const running = new Map<number, AbortController>();

function reply(answer: ProbeReply): void {
  process.send?.(answer);
}

function lookAt(look: Look, signal: AbortSignal): Promise<unknown> {
  const call = { epoch: 1, signal };
  switch (look.method) {
    case 'holders':
      return probe.holders(...look.args, call);
    case 'check':
      return probe.check(...look.args, call);
    case 'sshHostKeys':
      return probe.sshHostKeys(...look.args, call);
  }
}

process.on('message', async (order: ProbeOrder) => {
  const { id } = order;
  if (order.look === null) {
    running.get(id)?.abort();
    return;
  }
  const stop = new AbortController();
  if (order.aborted) stop.abort();
  running.set(id, stop);
  try {
    reply({ id, value: await lookAt(order.look, stop.signal) });
  } catch (error) {
    reply({ id, code: codeOf(error) ?? 'internal', message: messageOf(error) });
  }
  running.delete(id);
});
process.on('disconnect', () => process.exit());
reply({ id: 0 });
