// What goes over the host's network cards, from proc(5), /proc/net/dev, and how much TCP has to send again, from /proc/net/snmp
// (RFC 4022: tcpOutSegs, tcpRetransSegs).

/** What carries the traffic of others (bridges, bonds, VLANs, tunnels) would count it twice, and loopback is no network. */
const NOT_A_CARD = /^(?:lo|veth|docker|br|virbr|vnet|bond|team|dummy|ifb|tun|tap|wg|vlan|cni|flannel|cali)|[.@]/;

interface NetworkCounters {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Errors and drops, both ways. */
  readonly errors: number;
  readonly segments: number;
  readonly retransmitted: number;
}

export interface NetworkReading {
  /** A second. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly errors: number;
  /** Of the segments sent, percent. */
  readonly retransmits: number;
}

export class NetworkSensor {
  #before: NetworkCounters | null = null;
  #beforeMs = 0;

  /** @returns null: no interval has passed yet; or why there is no reading */
  sample(devices: string, snmp: string, nowMs: number): NetworkReading | string | null {
    const now = { ...parseDevices(devices), ...parseTcp(snmp) };
    const [before, intervalMs] = [this.#before, nowMs - this.#beforeMs];
    this.#before = now;
    this.#beforeMs = nowMs;
    if (Object.values(now).some(Number.isNaN)) return 'net/dev or net/snmp is not understood';
    if (before === null || intervalMs < 1) return null;
    const rate = (of: (counters: NetworkCounters) => number): number => ((of(now) - of(before)) * 1000) / intervalMs;
    const reading = {
      receivedBytes: rate(({ receivedBytes }) => receivedBytes),
      sentBytes: rate(({ sentBytes }) => sentBytes),
      errors: rate(({ errors }) => errors),
    };
    const segments = now.segments - before.segments;
    const retransmitted = now.retransmitted - before.retransmitted;
    // A card that was taken away, or counters that wrapped.
    if (Math.min(...Object.values(reading), segments, retransmitted) < 0) return null;
    return { ...reading, retransmits: segments === 0 ? 0 : Math.min(100, (100 * retransmitted) / segments) };
  }
}

function parseDevices(text: string): Pick<NetworkCounters, 'receivedBytes' | 'sentBytes' | 'errors'> {
  let [receivedBytes, sentBytes, errors] = [0, 0, 0];
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon)).trim();
    if (colon === -1 || name === '' || NOT_A_CARD.test(name)) continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const at = (index: number): number => fields[index] ?? Number.NaN;
    receivedBytes += at(0);
    sentBytes += at(8);
    errors += at(2) + at(3) + at(10) + at(11);
  }
  return { receivedBytes, sentBytes, errors };
}

/** Two lines begin with "Tcp:": the names, and the values in the same order. */
function parseTcp(text: string): Pick<NetworkCounters, 'segments' | 'retransmitted'> {
  const [names = [], values = []] = text
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.trim().split(/\s+/));
  const of = (name: string): number => Number(values[names.indexOf(name)] ?? Number.NaN);
  return { segments: of('OutSegs'), retransmitted: of('RetransSegs') };
}
