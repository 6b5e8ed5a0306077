// How soon a learned baseline sees that something has changed, how often it cries for nothing, and what a sample costs; beside an
// exponentially weighted control chart (EWMA), the textbook's way to watch a mean.
import { seededRandom } from '../src/base/mod.ts';
import { Baseline } from '../src/detection/mod.ts';
import type { Policy } from '../src/replay/mod.ts';
import {
  horizontalPodAutoscaler,
  ownScaler,
  simulate,
  targetTracking,
  traceRates,
  traces,
} from '../src/simulation/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report } from './report.ts';

const MINUTE_MS = 60_000;
const DAY = 1440;
const MONTH = 30 * DAY;
const SEEDS = 10;
const SHIFT_AT = 10 * DAY;
const SHIFT_SAMPLES = 60;
const SPEED_SAMPLES = 1_000_000;
const HOSTS_MAX = 4;
const BELOW = 300;

export const detection: Question = { name: 'detection', run: runDetection };

/** Says of each sample whether it is one of an alarm. */
type Detector = (index: number, value: number) => boolean;

function own(): Detector {
  const baseline = new Baseline({ direction: 'above' });
  return (index, value) => {
    baseline.add({ atMs: index * MINUTE_MS, value });
    return baseline.state === 'degraded' || baseline.state === 'failing';
  };
}

/** Lambda 0.2, limits at 3 sigma of the mean, from the first day; as textbooks have it. */
function chart(): Detector {
  const LAMBDA = 0.2;
  let [count, mean, squares, level] = [0, 0, 0, 0];
  return (_, value) => {
    if (count < DAY) {
      count += 1;
      const before = value - mean;
      mean += before / count;
      squares += before * (value - mean);
      level = mean;
      return false;
    }
    level += LAMBDA * (value - level);
    const sigma = Math.sqrt(squares / count);
    return level - mean > 3 * sigma * Math.sqrt(LAMBDA / (2 - LAMBDA));
  };
}

const detectors = { 'learned baseline': own, 'EWMA chart': chart };

interface Signal {
  readonly formula: string;
  /** @param normal standard normal numbers @param before the value of the minute before, without noise of measuring */
  readonly value: (minute: number, normal: () => number) => number;
  /** Of its noise. */
  readonly sigma: number;
}

const signals: Readonly<Record<string, Signal>> = {
  noise: { formula: '100 + 5 z', value: (_, normal) => 100 + 5 * normal(), sigma: 5 },
  diurnal: {
    formula: '100 + 50 sin(2 pi t / day) + 5 z',
    value: (minute, normal) => 100 + 50 * Math.sin((2 * Math.PI * minute) / DAY) + 5 * normal(),
    sigma: 5,
  },
  weekdays: {
    formula: 'the same on five days of seven, 100 + 5 z on two',
    value: (minute, normal) => {
      const isWorkday = Math.floor(minute / DAY) % 7 < 5;
      return 100 + (isWorkday ? 50 * Math.sin((2 * Math.PI * minute) / DAY) : 0) + 5 * normal();
    },
    sigma: 5,
  },
  nightly: {
    formula: '100 + 5 z, 60 more from 02:00 to 02:30',
    value: (minute, normal) => 100 + 5 * normal() + (minute % DAY >= 120 && minute % DAY < 150 ? 60 : 0),
    sigma: 5,
  },
  lognormal: { formula: '100 exp(z / 2)', value: (_, normal) => 100 * Math.exp(normal() / 2), sigma: 60 },
};

function normals(seed: number): () => number {
  const random = seededRandom(seed);
  const uniform = (): number => (random.below(2 ** 30) + 1) / 2 ** 30;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

async function runDetection({ say }: Bench): Promise<Report> {
  const quality: string[][] = [];
  for (const [name, signal] of Object.entries(signals)) {
    say(`detection: ${name}`);
    for (const [detector, make] of Object.entries(detectors)) {
      const alarms = falseAlarms(signal, make);
      const delays = [2, 4].map((size) => delayOf(signal, make, size));
      quality.push([`${name}: ${signal.formula}`, detector, alarms.toFixed(1), ...delays]);
    }
  }
  say('detection: cost');
  const seconds = Object.fromEntries(Object.entries(detectors).map(([name, make]) => [name, speedOf(make)]));
  const ratio = (seconds['learned baseline'] ?? 0) / (seconds['EWMA chart'] ?? 1);
  const cost = Object.entries(seconds).map(([name, took]) => [
    name,
    `${((took / SPEED_SAMPLES) * 1e9).toFixed(0)} ns`,
    name === 'learned baseline' ? ratio.toFixed(1) : '',
  ]);
  say('detection: closed loop');
  return {
    name: 'detection',
    title: 'Detection and scaling',
    method:
      `Signals of formulas, a sample a minute, z standard normal, ${SEEDS} seeds: false alarms in 30 days after the first 2, and minutes from a shift upwards on ` +
      `the 11th day to the alarm (median; "missed" counts seeds without one within an hour). The closed loop is \`understudy simulate\` with an objective for ` +
      `latency below ${BELOW} ms and otherwise defaults, at most ${HOSTS_MAX} hosts of 100 requests a second.`,
    target:
      'A sample in constant memory; a nightly job and a calm month raise nothing. In the closed loop fewer reversals than both rivals, and no trace on which one of them is better in both other columns.',
    tables: [
      {
        heading: 'Learned baselines',
        columns: ['signal', 'detector', 'false alarms a host-month', 'minutes to a shift of 2 sigma', 'of 4 sigma'],
        rows: quality,
        keyColumns: 2,
      },
      { heading: 'Cost of a sample', columns: ['detector', 'time', 'ratio to the chart'], rows: cost },
      {
        heading: 'Closed loop',
        columns: ['trace', 'scaler', `seconds above ${BELOW} ms`, 'host-hours', 'reversals'],
        rows: closedLoop(),
        keyColumns: 2,
      },
    ],
    notes: [
      'nightly: what is expected of an hour cannot show a job of half an hour, so the record holds a deviation of 12 sigma each night, and a shift of less is not seen; an objective sees it.',
      'Reversals: diurnal, sawtooth and flash-crowd come and go by their formula, so one reversal for each turn is what following them takes; all scalers have that many.',
    ],
  };
}

function falseAlarms({ value }: Signal, make: () => Detector): number {
  let alarms = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const normal = normals(seed);
    const detector = make();
    let before = false;
    for (let minute = 0; minute < 2 * DAY + MONTH; minute += 1) {
      const now = detector(minute, value(minute, normal));
      if (now && !before && minute >= 2 * DAY) alarms += 1;
      before = now;
    }
  }
  return alarms / SEEDS;
}

function delayOf({ value, sigma }: Signal, make: () => Detector, size: number): string {
  const delays: number[] = [];
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const normal = normals(100 + seed);
    const detector = make();
    for (let minute = 0; minute < SHIFT_AT + SHIFT_SAMPLES; minute += 1) {
      const isAlarm = detector(minute, value(minute, normal) + (minute >= SHIFT_AT ? size * sigma : 0));
      if (!isAlarm || minute < SHIFT_AT) continue;
      delays.push(minute - SHIFT_AT + 1);
      break;
    }
  }
  const missed = SEEDS - delays.length;
  const median = delays.sort((a, b) => a - b)[Math.floor(delays.length / 2)];
  return `${median ?? '-'}${missed === 0 ? '' : ` (${missed} of ${SEEDS} missed)`}`;
}

/** Seconds for a million samples. */
function speedOf(make: () => Detector): number {
  const normal = normals(1);
  const values = Float64Array.from({ length: SPEED_SAMPLES }, () => 100 + 5 * normal());
  const detector = make();
  const startedMs = performance.now();
  for (let index = 0; index < SPEED_SAMPLES; index += 1) detector(index, values[index] ?? 0);
  return (performance.now() - startedMs) / 1000;
}

function closedLoop(): string[][] {
  const policy: Policy = {
    signals: [
      {
        name: 'latency',
        objective: { below: BELOW, fastSeconds: null, slowSeconds: null, share: 0.5 },
        baseline: null,
        outside: false,
      },
    ],
    hostsMax: HOSTS_MAX,
    secondsToCapacity: 120,
    scaleOut: { cooldownSeconds: 0, atOnce: 2 },
    scaleIn: { windowSeconds: null, headroom: 0.7, cooldownSeconds: 300 },
    load: null,
  };
  const model = {
    ...{ capacity: 100, serviceMilliseconds: 50, copyCost: 0.1, copySeconds: 60 },
    ...{ secondsToCapacity: 120, drainSeconds: 30, hostsMax: HOSTS_MAX },
  };
  return Object.keys(traces).flatMap((trace) =>
    [ownScaler(policy, model), horizontalPodAutoscaler(HOSTS_MAX), targetTracking(HOSTS_MAX)].map((scaler) => {
      const { violatedSeconds, hostHours, reversals } = simulate(
        traceRates(trace) ?? new Float64Array(),
        model,
        scaler,
        BELOW,
      );
      return [trace, scaler.name, String(violatedSeconds), hostHours.toFixed(2), String(reversals)];
    }),
  );
}
