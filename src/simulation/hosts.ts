// The queueing model: one queue before equal hosts, in steps of a second. What cannot be answered waits; a request takes the longer, the
// busier the hosts are (M/M/1: service time / (1 - utilization)), and the time that those before it in the queue take.
import type { HostModel, Scaler, ScalingStep, Second, SimulationResult } from './contract.ts';

/** A formula that is about averages has no limit; a queue of its own measures what is beyond. */
const UTILIZATION_MAX = 0.98;
const SECONDS_AN_HOUR = 3600;

interface Run {
  /** Second in which a starting host takes traffic, and until which the lead is copied for it. */
  readonly starting: { readonly readyAt: number; readonly copiedAt: number }[];
  /** Seconds in which draining hosts are off. */
  readonly draining: number[];
  serving: number;
  queue: number;
}

/** @param rates requests of each second @param below milliseconds that a request may take */
export function simulate(rates: Float64Array, model: HostModel, scaler: Scaler, below: number): SimulationResult {
  const run: Run = { starting: [], draining: [], serving: 1, queue: 0 };
  const scaling: ScalingStep[] = [];
  let [violatedSeconds, hostSeconds, reversals, direction] = [0, 0, 0, 0];
  for (let second = 0; second < rates.length; second += 1) {
    arrive(run, second);
    const seen = pass(run, model, scaler, second, rates[second] ?? 0);
    if (seen.latencyMilliseconds > below) violatedSeconds += 1;
    hostSeconds += seen.serving + seen.starting + seen.draining;
    const changed = change(run, model, second, scaler.step(seen));
    if (changed === 0) continue;
    if (direction !== 0 && Math.sign(changed) !== direction) reversals += 1;
    direction = Math.sign(changed);
    const hosts = run.serving + run.starting.length;
    scaling.push({ second, action: changed > 0 ? 'scale-out' : 'scale-in', hosts });
  }
  return { scaler: scaler.name, violatedSeconds, hostHours: hostSeconds / SECONDS_AN_HOUR, reversals, scaling };
}

function arrive(run: Run, second: number): void {
  const ready = run.starting.filter(({ readyAt }) => readyAt <= second).length;
  run.serving += ready;
  run.starting.splice(0, ready);
  while (run.draining.length > 0 && (run.draining[0] ?? 0) <= second) run.draining.shift();
}

function pass(run: Run, model: HostModel, { copies }: Scaler, second: number, rate: number): Second {
  const copying = copies && run.starting.some(({ copiedAt }) => copiedAt > second);
  const capacity = model.capacity * (run.serving - (copying ? model.copyCost : 0));
  const waiting = run.queue + rate;
  const utilization = Math.min(1, waiting / capacity);
  const service = model.serviceMilliseconds / (1 - Math.min(UTILIZATION_MAX, utilization));
  const latencyMilliseconds = service + (run.queue / capacity) * 1000;
  run.queue = Math.max(0, waiting - capacity);
  const served = waiting - run.queue;
  const { serving, queue } = run;
  const counts = { serving, starting: run.starting.length, draining: run.draining.length };
  return { second, rate, served, latencyMilliseconds, utilization: 100 * utilization, queue, ...counts };
}

/** @returns hosts that were added, or taken away when negative */
function change(run: Run, model: HostModel, second: number, wanted: number): number {
  let done = 0;
  const { hostsMax, secondsToCapacity, copySeconds, drainSeconds } = model;
  for (; done < wanted; done += 1) {
    // Hosts in any state count, as they do for us; for rivals that is no disadvantage.
    if (run.serving + run.starting.length + run.draining.length >= hostsMax) break;
    run.starting.push({ readyAt: second + 1 + secondsToCapacity, copiedAt: second + 1 + copySeconds });
  }
  for (; done > wanted; done -= 1) {
    // One that is not ready yet goes first: nobody misses it.
    if (run.starting.pop() !== undefined) continue;
    if (run.serving <= 1) break;
    run.serving -= 1;
    run.draining.push(second + 1 + drainSeconds);
  }
  return done;
}
