// Events as records of the log: how urgent each is, and what of it is for programs.
import type { LogLevel, LogRecord } from '../base/mod.ts';
import type { EventView } from './contract.ts';

/** An event before the store has numbered it. */
export type EventDraft = EventView extends infer E ? (E extends EventView ? Omit<E, 'revision' | 'at'> : never) : never;

export function recordOf(event: EventDraft): LogRecord {
  const { kind, subject, text: message, data } = event;
  const code = 'code' in data && typeof data.code === 'string' ? { code: data.code } : {};
  // Its evidence is as long as a book, and `explain` shows it.
  const { evidence: _, ...facts } = data as { readonly evidence?: unknown };
  return { level: levelOf(event), message, subject, kind, ...code, data: facts };
}

/**
 * 'error': something failed, or is a defect. 'warn': what somebody should look at: a service that is not well, a wish
 * that cannot be carried out, a person who was not let in. 'debug': a look that changed nothing.
 */
function levelOf(event: EventDraft): LogLevel {
  switch (event.kind) {
    case 'error':
      return 'error';
    case 'audit':
      return event.data.type === 'refusal' || event.data.type === 'outcome' ? 'warn' : 'info';
    case 'decision':
      return event.data.outcome === 'refused' || isIll(event.data.verdict) ? 'warn' : 'info';
    case 'verdict':
      return isIll(event.data.verdict) ? 'warn' : 'info';
    case 'power':
      return event.data.state === 'unknown' ? 'warn' : 'info';
    default:
      return 'info';
  }
}

function isIll(verdict: unknown): boolean {
  return verdict === 'degraded' || verdict === 'failing';
}
