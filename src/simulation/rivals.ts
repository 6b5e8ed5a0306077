// How others decide, by what their documentation says, with its defaults.
import type { Scaler, Second } from './contract.ts';

/** The last values of so many seconds. */
class Recent {
  readonly #values: number[] = [];
  readonly #seconds: number;

  constructor(seconds: number) {
    this.#seconds = seconds;
  }

  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > this.#seconds) this.#values.shift();
  }

  get mean(): number {
    return this.#values.reduce((sum, value) => sum + value, 0) / (this.#values.length || 1);
  }

  get highest(): number {
    return Math.max(...this.#values);
  }
}

const HPA = { target: 80, syncSeconds: 15, tolerance: 0.1, downWindowSeconds: 300, metricSeconds: 30, podsUp: 4 };

/**
 * Kubernetes' horizontal pod autoscaler: looked at every 15 s, desired = ceil(replicas x utilization / target), nothing within 10 %, up by
 * at most 4 or 100 % in 15 s, down only to the highest recommendation of 300 s. Pods that are not ready count as idle when it goes up.
 * Source: kubernetes.io, "Horizontal Pod Autoscaling".
 */
export function horizontalPodAutoscaler(hostsMax: number): Scaler {
  const metric = new Recent(HPA.metricSeconds);
  const recommended = new Recent(HPA.downWindowSeconds / HPA.syncSeconds);
  const bounded = (hosts: number): number => Math.max(1, Math.min(hostsMax, hosts));
  return {
    name: 'kubernetes-hpa',
    copies: false,
    step(seen) {
      metric.add(seen.utilization);
      if (seen.second % HPA.syncSeconds !== 0) return 0;
      const replicas = seen.serving + seen.starting;
      const desired = bounded(desiredReplicas(metric.mean, seen));
      recommended.add(desired);
      if (desired > replicas) return Math.min(desired - replicas, Math.max(HPA.podsUp, replicas));
      return Math.min(0, recommended.highest - replicas);
    },
  };
}

function desiredReplicas(utilization: number, { serving, starting }: Second): number {
  const replicas = serving + starting;
  const ratio = utilization / HPA.target;
  if (Math.abs(ratio - 1) <= HPA.tolerance) return replicas;
  if (ratio < 1) return Math.ceil(serving * ratio);
  const withIdle = (ratio * serving) / replicas;
  return withIdle <= 1 + HPA.tolerance ? replicas : Math.ceil(withIdle * replicas);
}

const TRACKING = { target: 50, minuteSeconds: 60, highMinutes: 3, lowMinutes: 15, lowShare: 0.9, warmUpSeconds: 300 };

/**
 * Target tracking of EC2 Auto Scaling, with the 50 % of its documentation's example: alarms of one-minute means, out after 3 above the target, in
 * after 15 below nine tenths of it, to ceil(hosts x mean / target); hosts that warm up (300 s) count as capacity that is there. Source: docs.aws.amazon.com,
 * "Target tracking scaling policies".
 */
export function targetTracking(hostsMax: number): Scaler {
  const minutes: number[] = [];
  const minute = new Recent(TRACKING.minuteSeconds);
  let warmUntil = 0;
  return {
    name: 'target-tracking',
    copies: false,
    step({ second, utilization, serving, starting }) {
      minute.add(utilization);
      if ((second + 1) % TRACKING.minuteSeconds !== 0) return 0;
      minutes.push(minute.mean);
      const last = (count: number): number[] => minutes.slice(-count);
      const hosts = serving + starting;
      const wanted = (of: number): number =>
        Math.max(1, Math.min(hostsMax, Math.ceil((serving * (minutes.at(-1) ?? 0)) / TRACKING.target))) - of;
      const isHigh =
        minutes.length >= TRACKING.highMinutes && last(TRACKING.highMinutes).every((one) => one > TRACKING.target);
      if (isHigh) {
        const more = Math.max(0, wanted(hosts));
        if (more > 0) warmUntil = second + TRACKING.warmUpSeconds;
        return more;
      }
      const low = TRACKING.target * TRACKING.lowShare;
      const isLow = minutes.length >= TRACKING.lowMinutes && last(TRACKING.lowMinutes).every((one) => one < low);
      if (!isLow || second < warmUntil) return 0;
      const less = Math.min(0, wanted(hosts));
      if (less < 0) minutes.length = 0;
      return less;
    },
  };
}
