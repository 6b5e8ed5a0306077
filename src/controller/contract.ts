// What the controller offers to those who ask it: the HTTP interface, and through it the command line and the agents.
// The views are stable JSON: fields may be added, never changed. Times are ISO 8601 in UTC, durations seconds. Seed
// rows P12, P14, P25.
import type { Instruction, Report } from '../agent/mod.ts';
import type { JsonRecord, Mode } from '../config/mod.ts';
import type { Inspection } from '../identity/mod.ts';
import type { PowerState } from '../power/mod.ts';
import type { ComponentView, HoldView } from './contract-parts.ts';

/** What a host's disk says about who it is. */
export type InspectionView = Inspection;

export type VerdictView = 'healthy' | 'degraded' | 'failing' | 'unknown';

/** In the order in which an engagement goes through them. */
export type Phase =
  | 'choose'
  | 'fence'
  | 'preserve'
  | 'replicate'
  | 'personalise'
  | 'boot'
  | 'prove'
  | 'admit'
  | 'serving'
  | 'drain'
  | 'off'
  | 'restore'
  | 'release';

/** One fact on which a verdict or a decision rests. */
export interface EvidenceView {
  /** null: about the service as a whole. */
  readonly host: string | null;
  /** One line for people: "probe.milliseconds above 400 in 9 of 10 samples of the last 10 s". */
  readonly text: string;
  /** The same in numbers, for programs. */
  readonly values: Readonly<Record<string, number | string | null>>;
}

export type DecisionAction = 'scale-out' | 'scale-in' | 'undo' | 'none';

export interface DecisionView {
  readonly at: string;
  readonly service: string;
  readonly action: DecisionAction;
  /**
   * What became of it: 'started' an engagement or its end; 'proposed' waits for an approval; 'advised' is left to
   * people; 'refused' was wanted and not possible (no free spare, maximum reached, power unknown), the reason says why;
   * 'none' nothing was to be done.
   */
  readonly outcome: 'started' | 'proposed' | 'advised' | 'refused' | 'none';
  readonly verdict: VerdictView;
  /** One line. */
  readonly reason: string;
  readonly evidence: readonly EvidenceView[];
  readonly engagement: string | null;
  /** Later decisions, one after the other, that were the same for the same reason; `lastAt` is the time of the last. */
  readonly repeated: number;
  readonly lastAt: string;
}

/** Proposed in mode "approve"; gone as soon as what it rests on no longer holds. */
export interface PlanView {
  readonly id: string;
  readonly action: 'scale-out' | 'scale-in';
  readonly lead: string;
  readonly understudy: string;
  readonly reason: string;
  readonly proposedAt: string;
}

export interface ServiceView {
  readonly name: string;
  readonly mode: Mode;
  readonly lead: string;
  readonly verdict: VerdictView;
  readonly evidence: readonly EvidenceView[];
  /** Those that count for `hostsMax`: the lead and every understudy in any state, failed ones too. */
  readonly hosts: readonly string[];
  readonly hostsMax: number;
  /** Names of those that are not done, failed ones too. */
  readonly engagements: readonly string[];
  readonly pendingPlan: PlanView | null;
  /** What keeps it from being changed by itself, maintenance of its lead included. Empty: nothing. */
  readonly holds: readonly HoldView[];
  readonly lastDecision: DecisionView | null;
}

export interface HostView {
  readonly name: string;
  readonly power: PowerState;
  /** 'understudy': an engagement that is not done has it. 'spare': in a pool and free. 'free': in no service at all. */
  readonly role: 'lead' | 'understudy' | 'spare' | 'free';
  /** That it leads or is engaged for; null for a spare that is free. */
  readonly service: string | null;
  readonly engagement: string | null;
  /**
   * Why it is kept out of every pool although no engagement has it: a record that cannot be used, a dismissal by force.
   * null: it is not.
   */
  readonly keptOut: string | null;
  /** Maintenance, and a dismissal that keeps it from being engaged by itself. Empty: nothing. */
  readonly holds: readonly HoldView[];
  /** null: it never reported, or has no agent. */
  readonly agent: { readonly lastSeenAt: string; readonly verdict: VerdictView } | null;
  /** 'unknown': the storage node could not be asked. */
  readonly volume: {
    readonly name: string;
    readonly content: 'own' | 'unfinished' | 'replica' | 'unknown';
    readonly attached: boolean;
    /** NBD URI at which its host finds it over a network; null on a Unix socket, and while it is attached to none. */
    readonly uri: string | null;
    /** Why it cannot be served or looked at now; null when all is well. */
    readonly problem: string | null;
  };
}

export interface StageView {
  readonly phase: Phase;
  readonly seconds: number;
}

export interface EngagementView {
  readonly name: string;
  readonly service: string;
  readonly lead: string;
  readonly understudy: string;
  /** 'operator': by `clone`; 'policy': by a decision, approved or not. */
  readonly origin: 'operator' | 'policy';
  /** Where it is; of one that failed where it failed, of one that is done 'release'. */
  readonly phase: Phase;
  /** When it entered this phase. */
  readonly since: string;
  /**
   * 'running': something is being done, or will be tried again by itself. 'waiting': nothing is to be done (serving).
   * 'failed': it needs somebody. 'done': the spare is free again, and somebody has acknowledged the failure if there
   * was one.
   */
  readonly state: 'running' | 'waiting' | 'failed' | 'done';
  /** Of the last try of a phase that is being tried again; else what it failed of. */
  readonly error: {
    readonly code: string;
    readonly message: string;
    /** In which it happened. */
    readonly phase: Phase;
    /** What somebody can do about it, for people. */
    readonly remedy: string;
  } | null;
  /** Steps of the way down that were left undone: by force, or because they ended the controller each time. */
  readonly left: readonly Phase[];
  /** Phases that are over, in order; repeated tries of a phase are one stage. */
  readonly stages: readonly StageView[];
  /** From the start of "choose" to the end of "admit"; null before, and when it was never admitted. */
  readonly timeToCapacitySeconds: number | null;
  /** When somebody acknowledged that it failed; null: nobody has. */
  readonly acknowledgedAt: string | null;
  /** Bytes of the phase that copies (preserve, replicate, restore); null in others. */
  readonly progress: { readonly bytesDone: number; readonly bytesTotal: number } | null;
  /**
   * What the phase waits for now, in words that follow "waits for": "a good answer from 10.0.0.21, port 80 (connection
   * refused)". Of prove and drain; null: it waits for nothing that it could name.
   */
  readonly waitsFor: string | null;
}

/** A record that is damaged, of another version, or refers to what does not exist. Nothing is done by it. */
export interface UnusableRecordView {
  readonly key: string;
  /** Of its last change; -1: it was not written by this program. */
  readonly revision: number;
  /** One line. */
  readonly reason: string;
  /** What is stored, its first 2000 characters; null for a record that is not the controller's. */
  readonly text: string | null;
  readonly sizeBytes: number;
}

/** What a dismissal by force does, and what it may leave undone; each a line for people. */
export interface DismissalView {
  readonly engagement: string;
  /** null: no host is known to be its understudy. */
  readonly understudy: string | null;
  /** Why the record cannot be used; null: it can. */
  readonly reason: string | null;
  readonly does: readonly string[];
  readonly leaves: readonly string[];
}

export interface StatusView {
  /** All events up to this one are in what the view shows: `events` from here on misses nothing. */
  readonly revision: number;
  readonly controller: {
    readonly name: string;
    readonly epoch: number;
    /** When it took over. */
    readonly since: string;
  };
  /** In the order of understudy.yaml, as are the hosts. */
  readonly services: readonly ServiceView[];
  readonly hosts: readonly HostView[];
  /** The director of each service, the storage node, the store. */
  readonly components: readonly ComponentView[];
  /** Records of the store that cannot be used, those that may own a host first; at most 100. */
  readonly unusableRecords: readonly Pick<UnusableRecordView, 'key' | 'reason'>[];
  readonly unusableRecordsTotal: number;
  /** All that are not done, at most 100, and the last few that are; oldest first. */
  readonly engagements: readonly EngagementView[];
  /** Of all that are kept, which `engagements` lists. */
  readonly engagementsTotal: number;
}

interface EventBase {
  /** Of the whole installation, rising; what `events` takes to go on from here. */
  readonly revision: number;
  readonly at: string;
  /** "service/wiki", "host/web1", "engagement/NAME" or "controller". */
  readonly subject: string;
  /** One line for people. */
  readonly text: string;
}

/** `stage` and `capacity` feed the metrics, each once: when a phase is over, and when an understudy was admitted. */
export type EventView =
  | (EventBase & { readonly kind: 'decision'; readonly data: DecisionView })
  | (EventBase & {
      readonly kind: 'stage';
      readonly data: {
        readonly engagement: string;
        readonly service: string;
        readonly phase: Phase;
        readonly seconds: number;
      };
    })
  | (EventBase & {
      readonly kind: 'capacity';
      readonly data: { readonly engagement: string; readonly service: string; readonly seconds: number };
    })
  | (EventBase & { readonly kind: 'audit'; readonly data: AuditEntry })
  /** Anything else of which people or a display that looks on should hear. */
  | (EventBase & {
      readonly kind: 'verdict' | 'engagement' | 'plan' | 'power' | 'agent' | 'controller' | 'hold' | 'error';
      readonly data: JsonRecord;
    });

/** Who asked for what, from where, and what came of it. */
export interface AuditEntry {
  /**
   * 'order': somebody who may do so ordered a change; it is told before the order is carried out. 'outcome': such an
   * order failed. 'refusal': somebody was not let in, or may not do what was asked; those of one address are counted by
   * the minute. 'access': who may do what has changed.
   */
  readonly type: 'order' | 'outcome' | 'refusal' | 'access';
  /** Name of the person, of the host for an agent; null: not known. */
  readonly who: string | null;
  readonly role: 'viewer' | 'operator' | 'agent' | null;
  /** By what the name is known: "token", "certificate"; null: not known. */
  readonly by: string | null;
  /** Address of the other end; null: this machine itself. */
  readonly from: string | null;
  /** Method and route: "POST /v1/clone". */
  readonly action: string;
  /** What exactly was asked: `{"lead": "web1", "to": "spare1"}`. */
  readonly request: Readonly<Record<string, string>>;
  /** Of docs/errors.md; null: an order that was accepted. */
  readonly code: string | null;
  /** One line for people. */
  readonly text: string;
  /** How many of the same this stands for. */
  readonly count: number;
}

export interface AuditView extends AuditEntry {
  readonly at: string;
}

export type DismissRequest = ({ readonly host: string } | { readonly engagement: string }) & {
  readonly force?: boolean;
  readonly holdMs?: number;
};

/**
 * Every method may be called at any time, also while engagements run, and answers within seconds: it records what is
 * wanted, and the reconcilers do it. Only `power` and `inspect` wait for the world.
 * @throws SERVICE_UNKNOWN, HOST_UNKNOWN, ENGAGEMENT_UNKNOWN, ENGAGEMENT_REFUSED (with what stands in the way),
 *   EPOCH_STALE or LEASE_LOST when this controller has been replaced, STORE_FAILED
 */
export interface ControllerApi {
  status(): Promise<StatusView>;
  /**
   * Begins an engagement of `to` for `lead`, whatever the mode, within the service's maximum. Asked again for the same
   * pair while that engagement is not done, it answers with its name: a caller whose connection broke can ask again.
   */
  clone(request: { readonly lead: string; readonly to: string }): Promise<{ readonly engagement: string }>;
  /**
   * Ends an engagement in good order: drain, off, restore, release; also one that failed. Asked again, it answers the
   * same; one whose step is not tried any more, or that was ended by force, goes its way down again.
   * The policy begins no engagement of the service for a while after it (`holdMs`), so that what was dismissed does not
   * come back at once.
   * @param request `force`: each step is tried once, and what fails is left undone; also for a record that cannot be
   *   used. `holdMs`: milliseconds, 0: not held; default one hour, and none for an engagement that is over
   * @param by who ordered it
   * @throws RECORD_UNUSABLE without `force`
   */
  dismiss(request: DismissRequest, by?: string | null): Promise<{ readonly engagement: string }>;
  /** What `dismiss` with `force` would do now. */
  dismissal(request: { readonly host: string } | { readonly engagement: string }): Promise<DismissalView>;
  /** All records that cannot be used, as they are now. */
  records(): Promise<readonly UnusableRecordView[]>;
  /**
   * Deletes a record that cannot be used, unless it is that of an engagement. @throws ENGAGEMENT_REFUSED,
   * STORE_CONFLICT
   */
  removeRecord(record: { readonly key: string; readonly revision: number }): Promise<void>;
  /**
   * Begins and ends no engagement of the service but by hand, until `resume` or for a time. What is under way goes on.
   * @param request `forMs`: milliseconds; null: until resumed
   */
  pause(
    request: { readonly service: string; readonly forMs: number | null },
    by?: string | null,
  ): Promise<{ readonly hold: HoldView }>;
  /** Lifts the pause of a service, and what a dismissal by hand left. @returns what was lifted */
  resume(service: string, by?: string | null): Promise<{ readonly lifted: readonly HoldView[] }>;
  /**
   * Takes a host out of all engagements, as lead or understudy, until it is given back. An engagement that has it as
   * its understudy is ended in good order.
   * @returns `engagement`: the one that ends because of it; null: none
   */
  maintenance(
    request: { readonly host: string; readonly state: 'on' | 'off' },
    by?: string | null,
  ): Promise<{ readonly hold: HoldView | null; readonly engagement: string | null }>;
  /**
   * Takes note of an engagement that failed and is over, which `status` then shows as done. Asked again, it answers the
   * same. @throws ENGAGEMENT_REFUSED while it is under way, or has left something undone
   */
  acknowledge(engagement: string): Promise<{ readonly engagement: string }>;
  /** @throws ENGAGEMENT_REFUSED when there is no such plan, or no longer; or the service is paused. */
  approve(plan: string): Promise<{ readonly engagement: string }>;
  /**
   * Resolves when the state was read back. Refused for a host that is in an engagement, and 'off' for a lead that takes
   * traffic.
   * @throws POWER_FAILED, POWER_TIMEOUT, POWER_UNKNOWN as well
   */
  power(host: string, state: 'on' | 'off', signal: AbortSignal): Promise<{ readonly power: PowerState }>;
  /**
   * What the disk of a host has that must not exist twice, at one moment of it, whether the host is on or not. Takes
   * seconds.
   * @throws the storage node's and the identity engine's errors as well
   */
  inspect(host: string, signal: AbortSignal): Promise<InspectionView>;
  /** The newest first. @param limit 1 to 1000 */
  explain(service: string, limit: number): Promise<readonly DecisionView[]>;
  /** All that are kept, the newest first. @param limit 1 to 1000 */
  history(limit: number): Promise<readonly EngagementView[]>;
  /** Any that is kept, also one that was done long ago. */
  engagement(name: string): Promise<EngagementView>;
  /**
   * Every event after a revision, in order, then each new one, until the signal ends it. 0: all that are kept; null:
   * only new ones. Events that are no longer kept are left out. A reader that has to know the state asks `status` and
   * reads on from its revision.
   */
  events(after: number | null, signal: AbortSignal): AsyncIterable<EventView>;
  /** Keeps what somebody asked for; it is an event as well. Durable when it resolves. */
  record(entry: AuditEntry): Promise<void>;
  /** What is kept of what was asked for since then, the oldest first. @param sinceMs milliseconds since 1970 */
  audit(sinceMs: number): Promise<readonly AuditView[]>;
  /**
   * What a host's agent tells, checked by the interface to be within the protocol's limits, and what the agent is told.
   */
  report(host: string, report: Report): Promise<Instruction>;
}
