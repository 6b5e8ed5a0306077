// Arrivals from stated formulas: requests of each second of a day (or less), for hosts that answer 100 a second.
import { seededRandom } from '../base/mod.ts';

const DAY = 86_400;
const HOUR = 3600;

export interface Trace {
  readonly seconds: number;
  /** Requests of a second; for people too. */
  readonly formula: string;
  readonly rate: (second: number) => number;
}

/** Uniform from -1 to 1, the same for the same second. */
function jitter(second: number, step: number): number {
  return seededRandom(Math.floor(second / step) + 1).below(2001) / 1000 - 1;
}

export const traces: Readonly<Record<string, Trace>> = {
  diurnal: {
    seconds: DAY,
    formula: '90 + 80 sin(2 pi (t - 8 h) / 24 h)',
    rate: (t) => 90 + 80 * Math.sin((2 * Math.PI * (t - 8 * HOUR)) / DAY),
  },
  'flash-crowd': {
    seconds: 4 * HOUR,
    formula: '40; from 1 h on 220, falling to 40 with a half-life of 20 min',
    rate: (t) => (t < HOUR ? 40 : 40 + 180 * 2 ** (-(t - HOUR) / 1200)),
  },
  sawtooth: {
    seconds: 6 * HOUR,
    formula: 'from 30 to 150 within an hour, again and again',
    rate: (t) => 30 + (120 * (t % HOUR)) / HOUR,
  },
  noise: {
    seconds: 6 * HOUR,
    formula: '75 + 45 u, u uniform from -1 to 1, another one each 30 s',
    rate: (t) => 75 + 45 * jitter(t, 30),
  },
  'slow-leak': {
    seconds: 12 * HOUR,
    formula: '50 + 100 t / 12 h + 5 u, u uniform from -1 to 1 each second',
    rate: (t) => 50 + (100 * t) / (12 * HOUR) + 5 * jitter(t, 1),
  },
};

/** @returns null: there is none of this name */
export function traceRates(name: string): Float64Array | null {
  const trace = traces[name];
  if (trace === undefined) return null;
  return Float64Array.from({ length: trace.seconds }, (_, second) => Math.max(0, trace.rate(second)));
}
