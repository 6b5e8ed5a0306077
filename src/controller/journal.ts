// The journal: what happened (events) and what was decided (decisions), each with its evidence, in the store. Both are
// bounded; what is too old is deleted. A decision that repeats the last one is counted, not stored again.
import { codeOf, formatDuration } from '../base/mod.ts';
import type { Change } from '../store/mod.ts';
import type { DecisionView, EventView } from './contract.ts';
import type { ControllerParts } from './parts.ts';
import { keys } from './record.ts';
import { flawOf } from './record-kinds.ts';
import { listRecords } from './records.ts';
import { Troubles } from './troubles.ts';

const EVENTS_MAX = 5000;
const DECISIONS_MAX = 500;
/** Deleting one at a time with every write would double the writes. */
const TRIM_EVERY = 100;
/** A repeated decision is written again after so long, so that `lastAt` is never far behind. */
const REPEAT_WRITE_MS = 10_000;

/** An event before the store has numbered it. */
export type EventDraft = EventView extends infer E ? (E extends EventView ? Omit<E, 'revision' | 'at'> : never) : never;

type StoredEvent = EventDraft & { readonly at: string };
export type DecisionDraft = Omit<DecisionView, 'at' | 'repeated' | 'lastAt'>;

export class Journal {
  readonly #parts: ControllerParts;
  readonly #last = new Map<string, { key: string; revision: number; view: DecisionView; writtenAt: number }>();
  #count = 0;

  readonly #troubles: Troubles;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#troubles = new Troubles(parts.log);
  }

  /** Tells an error of a subject once, in the log and as an event. @param subject "service/wiki", "host/web1", "request GET /v1/status" */
  async trouble(subject: string, error: unknown): Promise<void> {
    const told = this.#troubles.tell(subject, error);
    if (told === null) return;
    await this.event({ kind: 'error', subject, text: told.text, data: { code: told.code } });
  }

  /** Writes the stack of a defect to the log; the event is told by somebody else. */
  defect(subject: string, error: unknown): void {
    this.#troubles.log(subject, error);
  }

  /** A line of the log alone. */
  say(text: string): void {
    this.#parts.log(text);
  }

  /** The subject was looked at, and nothing was wrong. */
  well(subject: string): void {
    this.#troubles.well(subject);
  }

  /** Tells that a look ended this process again and again, and is left alone for a while. */
  async rest(key: string, lost: number, restMs: number): Promise<void> {
    const text = `${key}: the controller ended ${lost} times while it looked at it; it looks again in ${formatDuration(restMs / 1000)}`;
    this.#parts.log(text);
    await this.event({ kind: 'error', subject: key, text, data: { code: 'TRIES_EXHAUSTED' } });
  }

  async event(draft: EventDraft): Promise<void> {
    const at = this.#parts.wall();
    await this.#append((count) => keys.event(at, count), { ...draft, at: iso(at) });
    if (this.#count % TRIM_EVERY === 0) await this.#trim(keys.events, EVENTS_MAX);
  }

  /** Records a decision; true when it is another than the one before it. */
  async decide(draft: DecisionDraft): Promise<boolean> {
    const now = this.#parts.wall();
    const last = this.#last.get(draft.service);
    if (last !== undefined && isSame(last.view, draft)) {
      const view = { ...last.view, evidence: draft.evidence, repeated: last.view.repeated + 1, lastAt: iso(now) };
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
    const view: DecisionView = { ...draft, at: iso(now), repeated: 0, lastAt: iso(now) };
    const { key, revision } = await this.#append((count) => keys.decision(draft.service, now, count), view);
    this.#last.set(draft.service, { key, revision, view, writtenAt: now });
    if (this.#count % TRIM_EVERY === 0) await this.#trim(keys.decisions(draft.service), DECISIONS_MAX);
    return true;
  }

  async decisions(service: string, limit: number): Promise<readonly DecisionView[]> {
    const { usable } = await listRecords<DecisionView>(this.#parts.store, keys.decisions(service));
    const views = usable.map(({ value }) => value);
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
  async revision(): Promise<number> {
    const kept = await this.#parts.store.list(keys.events);
    return Math.max(0, ...kept.map(({ revision }) => revision));
  }

  async *events(after: number | null, signal: AbortSignal): AsyncIterable<EventView> {
    const { store } = this.#parts;
    const from = after ?? (await this.revision());
    for await (const change of store.watch<StoredEvent>(keys.events, signal)) {
      const value = usableEvent(change);
      if (value !== null && change.revision > from) yield { ...value, revision: change.revision };
    }
  }

  /** Two processes or two lives in one millisecond must not fall on one key: a taken number is passed over. */
  async #append(keyOf: (count: number) => string, value: unknown): Promise<{ key: string; revision: number }> {
    for (;;) {
      this.#count += 1;
      const key = keyOf(this.#count);
      try {
        return { key, revision: await this.#parts.store.put(key, value, 0) };
      } catch (error) {
        if (codeOf(error) !== 'STORE_CONFLICT') throw error;
      }
    }
  }

  async #trim(prefix: string, kept: number): Promise<void> {
    const records = await this.#parts.store.list(prefix);
    for (const { key, revision } of records.slice(0, Math.max(0, records.length - kept))) {
      await this.#parts.store.delete(key, revision);
    }
  }
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
