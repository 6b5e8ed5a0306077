// The journal: what happened (events) and what was decided (decisions), each with its evidence, in the store. Both are
// bounded where they are appended; what is too old is deleted. A decision that repeats the last one is counted, not
// stored again.
import { codeOf, formatDuration, type LogRecord, messageOf } from '../base/mod.ts';
import type { Change } from '../store/mod.ts';
import { BoundedLog, type Place, type ShelfBound } from './bounded-log.ts';
import type { AuditView, DecisionView, EventView } from './contract.ts';
import { cutEvidence, cutText, DECISION_EVIDENCE_BYTES_MAX } from './evidence.ts';
import { type EventDraft, recordOf } from './log-record.ts';
import type { ControllerParts } from './parts.ts';
import { keys } from './record.ts';
import { flawOf } from './record-kinds.ts';
import { listRecords } from './records.ts';
import { defectOf, Troubles } from './troubles.ts';

/**
 * 5000 events in all. Each kind that somebody can bring about at will has a shelf of its own, and on it each host,
 * service, person and address a bound of its own: nobody pushes out what others have done.
 */
const SHELVES = {
  verdict: { recordsMax: 1500, groupMax: 200 },
  decision: { recordsMax: 1000, groupMax: 300 },
  order: { recordsMax: 1000, groupMax: 300 },
  refusal: { recordsMax: 500, groupMax: 100 },
  other: { recordsMax: 1000, groupMax: 500 },
} as const satisfies Readonly<Record<string, ShelfBound>>;
/** Of one service. */
const DECISIONS_MAX = 500;
/** A repeated decision is written again after so long, so that `lastAt` is never far behind. */
const REPEAT_WRITE_MS = 10_000;

type StoredEvent = EventDraft & { readonly at: string };
export type DecisionDraft = Omit<DecisionView, 'at' | 'repeated' | 'lastAt'>;

export class Journal {
  readonly #parts: ControllerParts;
  readonly #last = new Map<string, { key: string; revision: number; view: DecisionView; writtenAt: number }>();
  readonly #events: BoundedLog<StoredEvent>;
  readonly #decisions = new Map<string, BoundedLog<DecisionView>>();
  readonly #troubles = new Troubles();

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    const { store } = parts;
    this.#events = new BoundedLog(store, { prefix: keys.events, shelves: SHELVES, placeOf, keyOf: keys.event });
  }

  /**
   * Tells an error of a subject once, in the log and as an event. @param subject "service/wiki", "host/web1", "request
   * GET /v1/status"
   */
  async trouble(subject: string, error: unknown): Promise<void> {
    const told = this.#troubles.tell(subject, error);
    if (told === null) return;
    const stack = told.stack === null ? {} : { stack: told.stack };
    await this.event({ kind: 'error', subject, text: told.text, data: { code: told.code } }, stack);
  }

  /** Writes the stack of a defect to the log; the event is told by somebody else. */
  defect(subject: string, error: unknown): void {
    this.say({ ...defectOf(subject, error), level: 'error', subject });
  }

  /** A record of the log alone. */
  say(record: LogRecord): void {
    this.#parts.log(record);
  }

  /** The subject was looked at, and nothing was wrong. */
  well(subject: string): void {
    if (this.#troubles.well(subject)) this.say({ level: 'info', subject, message: `${subject}: well again` });
  }

  /** Tells that a look ended this process again and again, and is left alone for a while. */
  async rest(key: string, lost: number, restMs: number): Promise<void> {
    const text = `${key}: the controller ended ${lost} times while it looked at it; it looks again in ${formatDuration(restMs / 1000)}`;
    await this.event({ kind: 'error', subject: key, text, data: { code: 'TRIES_EXHAUSTED' } });
  }

  /**
   * In the log first, so that it is told also when the store cannot keep it.
   * @param also what the log alone is to say of it
   * @throws STORE_FAILED
   */
  async event(draft: EventDraft, also: Pick<LogRecord, 'stack'> = {}): Promise<void> {
    const at = this.#parts.wall();
    this.say({ ...recordOf(draft), ...also });
    try {
      await this.#events.append(at, { ...draft, at: iso(at) });
    } catch (error) {
      const message = `what was just said of ${draft.subject} is kept in this log only: ${messageOf(error)}`;
      this.say({ level: 'error', subject: draft.subject, message, code: codeOf(error) });
      throw error;
    }
  }

  /** Records a decision; true when it is another than the one before it. */
  async decide(draft: DecisionDraft): Promise<boolean> {
    const now = this.#parts.wall();
    const evidence = cutEvidence(draft.evidence, DECISION_EVIDENCE_BYTES_MAX);
    const fresh = { ...draft, evidence, reason: cutText(draft.reason) };
    const last = this.#last.get(draft.service);
    if (last !== undefined && isSame(last.view, fresh)) {
      const view = { ...last.view, evidence, repeated: last.view.repeated + 1, lastAt: iso(now) };
      last.view = view;
      if (now - last.writtenAt < REPEAT_WRITE_MS) return false;
      try {
        last.revision = await this.#parts.store.put(last.key, view, last.revision);
      } catch (error) {
        // Somebody has removed it: the next one is written as a new one.
        if (codeOf(error) === 'STORE_CONFLICT') this.#last.delete(draft.service);
        throw error;
      }
      last.writtenAt = now;
      return false;
    }
    const view: DecisionView = { ...fresh, at: iso(now), repeated: 0, lastAt: iso(now) };
    const { key, revision } = await this.#decisionsOf(draft.service).append(now, view);
    this.#last.set(draft.service, { key, revision, view, writtenAt: now });
    return true;
  }

  async decisions(service: string, limit: number): Promise<readonly DecisionView[]> {
    const views = (await this.#decisionsOf(service).list()).map(({ value }) => value);
    const last = this.#last.get(service);
    if (last !== undefined && views.length > 0) views[views.length - 1] = last.view;
    return views.slice(-limit).reverse();
  }

  lastDecision(service: string): DecisionView | null {
    return this.#last.get(service)?.view ?? null;
  }

  /** Reads what an earlier life of the controller decided last. */
  async recall(services: Iterable<string>): Promise<void> {
    for (const service of services) {
      const record = (await listRecords<DecisionView>(this.#parts.store, keys.decisions(service))).usable.at(-1);
      if (record === undefined) continue;
      const { key, revision, value } = record;
      this.#last.set(service, { key, revision, view: value, writtenAt: Date.parse(value.lastAt) });
    }
  }

  /** Of the newest event that is kept; 0: there is none. */
  revision(): Promise<number> {
    return this.#events.revision();
  }

  async *events(after: number | null, signal: AbortSignal): AsyncIterable<EventView> {
    const { store } = this.#parts;
    const from = after ?? (await this.revision());
    for await (const change of store.watch<StoredEvent>(keys.events, signal)) {
      const value = usableEvent(change);
      if (value !== null && change.revision > from) yield { ...value, revision: change.revision };
    }
  }

  /** The oldest first. */
  async audit(sinceMs: number): Promise<readonly AuditView[]> {
    const events = (await this.#events.list()).map(({ value }) => value);
    return events.flatMap((event) =>
      event.kind === 'audit' && Date.parse(event.at) >= sinceMs ? [{ at: event.at, ...event.data }] : [],
    );
  }

  #decisionsOf(service: string): BoundedLog<DecisionView> {
    const known = this.#decisions.get(service);
    if (known !== undefined) return known;
    const log = new BoundedLog<DecisionView>(this.#parts.store, {
      prefix: keys.decisions(service),
      shelves: { all: { recordsMax: DECISIONS_MAX, groupMax: DECISIONS_MAX } },
      placeOf: () => ({ shelf: 'all', group: service }),
      keyOf: (atMs, number) => keys.decision(service, atMs, number),
    });
    this.#decisions.set(service, log);
    return log;
  }
}

/** Whose event it is: who can bring it about. */
function placeOf({ kind, subject, data }: StoredEvent): Place {
  if (kind === 'verdict' || kind === 'decision') return { shelf: kind, group: subject };
  if (kind !== 'audit') return { shelf: 'other', group: subject };
  if (data.type === 'refusal') return { shelf: 'refusal', group: data.from ?? '' };
  return { shelf: 'order', group: data.who ?? '' };
}

/** null: it was deleted, or cannot be used, which `status` tells. */
function usableEvent(change: Change<StoredEvent>): StoredEvent | null {
  try {
    return change.value === null || flawOf(change.key, change.value) !== null ? null : change.value;
  } catch (error) {
    if (codeOf(error) !== 'RECORD_UNUSABLE') throw error;
    return null;
  }
}

function isSame(last: DecisionView, draft: DecisionDraft): boolean {
  return (
    last.action === draft.action &&
    last.outcome === draft.outcome &&
    last.verdict === draft.verdict &&
    last.reason === draft.reason &&
    last.engagement === draft.engagement
  );
}

export function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
