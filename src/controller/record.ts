// What the controller knows durably. Progress is in these records and nowhere else: whoever reads them goes on with the
// work.
import type { ErrorCode } from '../base/mod.ts';
import type { Phase } from './contract.ts';

/**
 * Phases of an engagement, in their order. `choose` to `serving` bring an understudy on stage, `drain` to `release`
 * take it off again; a failure on the way up turns into the way down.
 */
export const phases = [
  'choose',
  'fence',
  'preserve',
  'replicate',
  'personalise',
  'boot',
  'prove',
  'admit',
  'serving',
  'drain',
  'off',
  'restore',
  'release',
] as const satisfies readonly Phase[];

export interface Stage {
  readonly phase: Phase;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** null: it is going on. */
  readonly endedAt: number | null;
}

export interface Failure {
  readonly code: ErrorCode | 'INTERNAL';
  readonly message: string;
  readonly phase: Phase;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** One use of one understudy for one lead. */
export interface Engagement {
  readonly name: string;
  /** Counts all engagements of the installation; earlier ones have precedence where two collide. */
  readonly sequence: number;
  /** Of the controller that wrote it last; one with a lower epoch may not write it any more. */
  readonly epoch: number;
  readonly service: string;
  readonly lead: string;
  readonly understudy: string;
  /** What is asked for by hand is also ended by hand. */
  readonly origin: 'automatic' | 'manual';
  /** 'release' takes it off stage, from whatever phase. It never goes back to 'serve'. */
  readonly goal: 'serve' | 'release';
  /** Why the goal is what it is, for people. */
  readonly reason: string;
  readonly phase: Phase;
  /** True when it is over. The record stays as history. */
  readonly ended: boolean;
  /** Steps of the way down that were not done, because they could not be or because somebody said so. Absent: none. */
  readonly left?: readonly Phase[] | undefined;
  /** Dismissed by force: each step of the way down is tried once, and what fails is left undone. Absent: not. */
  readonly forced?: boolean | undefined;
  readonly createdAt: number;
  readonly stages: readonly Stage[];
  /** How often it went back from prove or serving to boot. */
  readonly reboots: number;
  /** What turned it round. */
  readonly failure: Failure | null;
  /** Why the last try of its phase failed, until that phase is over or a try succeeds. */
  readonly hold: Failure | null;
  /** True when it failed to reach `serving`, or lost it. */
  readonly failed: boolean;
  /** The moment of the lead's volume that the replica shows, ISO 8601. */
  readonly takenAt: string | null;
  readonly proof: { readonly sshHostKeys: readonly string[]; readonly machineId: string } | null;
  /** When `admit` was completed. */
  readonly admittedAt: number | null;
  /** Requests a second of the service and hosts that carried them, when the objective broke. */
  readonly breach: { readonly rate: number | null; readonly hosts: number } | null;
  /** When somebody took note that it failed, milliseconds since 1970. Absent: not. */
  readonly acknowledgedAt?: number | undefined;
}

/**
 * What holds the controller back until somebody says otherwise, or until a time. 'pause': it begins and ends no
 * engagement of the service by itself. 'dismissal': somebody dismissed spares of the service, and it adds none by
 * itself. 'maintenance': the host takes part in no engagement.
 */
export interface Hold {
  readonly kind: 'pause' | 'dismissal' | 'maintenance';
  /** Of the service; of the host for maintenance. */
  readonly name: string;
  /** Spares that were dismissed, which no other service engages by itself either; else none. */
  readonly hosts: readonly string[];
  /** Who ordered it; null: not known. */
  readonly by: string | null;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  /** Milliseconds since 1970; null: until it is lifted. */
  readonly untilMs: number | null;
}

/** A scaling that waits for a yes (mode approve). */
export interface PendingPlan {
  readonly id: string;
  readonly service: string;
  readonly action: 'scale-out' | 'scale-in';
  /** The spare to be engaged, or the engagement to be released. */
  readonly subject: string;
  readonly reason: string;
  readonly at: number;
}

/** Tries of a step (`tries.ts`). One for each key of the queue. */
export interface TryRecord {
  /** The phase of an engagement; for others always the same. */
  readonly step: string;
  readonly begun: number;
  /** Tries that never ended, the one that may be under way not among them. */
  readonly lost: number;
  /** It is under way, or was when the process died. */
  readonly open: boolean;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

export const keys = {
  engagements: 'engagement/',
  engagement: (name: string): string => `engagement/${name}`,
  plan: (service: string): string => `plan/${service}`,
  plans: 'plan/',
  /** Time and count are padded so that the order of keys is the order of events. */
  event: (atMs: number, count: number): string => `event/${ordered(atMs, count)}`,
  events: 'event/',
  decision: (service: string, atMs: number, count: number): string => `decision/${service}/${ordered(atMs, count)}`,
  decisions: (service: string): string => `decision/${service}/`,
  sequence: 'counter/engagement',
  /** The epoch of the last controller that believed this store. */
  leader: 'epoch/controller',
  tries: (key: string): string => `try/${key}`,
  allTries: 'try/',
  hold: (kind: Hold['kind'], name: string): string => `hold/${kind}/${name}`,
  holds: 'hold/',
  learned: 'learned/',
  learnedOf: (service: string, host: string): string => `learned/${service}/${host}`,
} as const;

function ordered(atMs: number, count: number): string {
  return `${String(atMs).padStart(15, '0')}-${String(count).padStart(6, '0')}`;
}

export function isUp(phase: Phase): boolean {
  return phases.indexOf(phase) <= phases.indexOf('serving');
}

export function reached(engagement: Engagement, phase: Phase): boolean {
  return engagement.stages.some((stage) => stage.phase === phase);
}

/** The record in its next phase: the stage before is closed, and what held it up is forgotten. */
export function enter(engagement: Engagement, phase: Phase, nowMs: number): Engagement {
  const closed = engagement.stages.map((stage) => (stage.endedAt === null ? { ...stage, endedAt: nowMs } : stage));
  return {
    ...engagement,
    phase,
    hold: null,
    stages: [...closed, { phase, startedAt: nowMs, endedAt: null }],
  };
}

export function end(engagement: Engagement, nowMs: number): Engagement {
  const stages = engagement.stages.map((stage) => (stage.endedAt === null ? { ...stage, endedAt: nowMs } : stage));
  return { ...engagement, ended: true, hold: null, stages };
}

export function phaseSince(engagement: Engagement): number {
  return engagement.stages.at(-1)?.startedAt ?? engagement.createdAt;
}

/** From the wish to the understudy taking traffic, seconds; null before. */
export function timeToCapacity(engagement: Engagement): number | null {
  return engagement.admittedAt === null ? null : (engagement.admittedAt - engagement.createdAt) / 1000;
}
