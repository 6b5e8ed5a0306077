// Hosts as a queue, and those who decide how many there are.

/** What a host is like. All hosts are alike, and the load is spread evenly. */
export interface HostModel {
  /** Requests a second that one host can answer. Above 0. */
  readonly capacity: number;
  /** Of one request on an idle host. Above 0. */
  readonly serviceMilliseconds: number;
  /** Share of a host's capacity that the lead loses while it is copied, 0 to below 1, and for how long. Rivals copy nothing. */
  readonly copyCost: number;
  readonly copySeconds: number;
  /** From the decision until a host takes traffic. */
  readonly secondsToCapacity: number;
  /** From the decision to take a host away until it is off. It takes no traffic any more. */
  readonly drainSeconds: number;
  /** Lead included. */
  readonly hostsMax: number;
}

/** One second, as seen from outside. */
export interface Second {
  /** 0 is the first. */
  readonly second: number;
  /** Requests that came. */
  readonly rate: number;
  /** Requests that were answered: what a director counts. */
  readonly served: number;
  /** Of a request that came in it. */
  readonly latencyMilliseconds: number;
  /** Of the hosts that serve, in percent, 0 to 100. */
  readonly utilization: number;
  /** Requests that wait at its end. */
  readonly queue: number;
  readonly serving: number;
  readonly starting: number;
  /** Off soon, counted until then. */
  readonly draining: number;
}

export interface Scaler {
  readonly name: string;
  /** It pays with the lead's capacity for each host that starts. */
  readonly copies: boolean;
  /** After each second: hosts to be added, or taken away when negative. What goes beyond the bounds is not done. */
  step(seen: Second): number;
}

export interface ScalingStep {
  readonly second: number;
  readonly action: 'scale-out' | 'scale-in';
  /** That serve or start, after it. */
  readonly hosts: number;
}

export interface SimulationResult {
  readonly scaler: string;
  /** Seconds in which a request took longer than the objective allows. */
  readonly violatedSeconds: number;
  /** Of all hosts that were on, starting and draining ones too. */
  readonly hostHours: number;
  /** Times that the direction of scaling turned. */
  readonly reversals: number;
  readonly scaling: readonly ScalingStep[];
}
