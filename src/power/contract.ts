// Power: whatever switches a host on and off (a hypervisor, a BMC, a PDU). Seed rows P7, P13, P21.
import type { Call } from '../base/mod.ts';

/** 'unknown' is an answer like the others: it stops every plan that needs to know. */
export type PowerState = 'on' | 'off' | 'unknown';

/**
 * One driver switches any number of hosts, each named in its configuration. Every method asks the driver's EpochGate first
 * (thing "power/HOST") and answers within the driver's time-out: POWER_TIMEOUT.
 * @throws HOST_UNKNOWN, POWER_FAILED (with what the relay said), POWER_TIMEOUT, EPOCH_STALE, INTERRUPTED
 */
export interface PowerDriver {
  readonly name: string;
  /** What the relay says now; never remembered. A relay that cannot be asked makes it 'unknown', not an error. */
  state(host: string, call: Call): Promise<PowerState>;
  /** Asks for power on; resolves when the relay accepted it. Power that is on stays on: nothing is restarted. */
  on(host: string, call: Call): Promise<void>;
  /** Cuts the power at once, as pulling the plug does; resolves when the relay accepted it. Off stays off. */
  off(host: string, call: Call): Promise<void>;
}
