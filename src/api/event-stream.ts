// Events as server-sent events (HTML standard, section 9.2). Each carries its revision as id, so that a reader that was
// cut off goes on where it was (Last-Event-ID).
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate as otherWork } from 'node:timers/promises';
import { shownJson } from '../base/mod.ts';
import type { ControllerApi, EventView } from '../controller/mod.ts';
import { failureOf, INTERNAL } from './failures.ts';

/** Silence is broken this often, so that both ends notice when the other is gone. */
export const HEARTBEAT_MS = 10_000;
/** A reader that takes nothing for so long is cut off; it goes on where it was. */
const STALL_MS = 30_000;
/** What a browser waits before it connects again. */
const RETRY_MS = 2000;
/**
 * Events in a row after which everybody else has a turn: one who reads all that is kept would hold up the whole
 * process.
 */
const EVENTS_IN_A_ROW = 4;

export interface StreamOptions {
  readonly controller: ControllerApi;
  readonly response: ServerResponse;
  /** null: only new ones. */
  readonly after: number | null;
  /** Ends the stream. */
  readonly signal: AbortSignal;
  /** Whether the reader may still read: its token may have been revoked, or have expired. */
  readonly mayRead: () => boolean;
}

/** Answers with events until the reader goes, the signal ends it, or they cannot be read. Never rejects for these. */
export async function streamEvents({ controller, response, after, signal, mayRead }: StreamOptions): Promise<unknown> {
  const end = new AbortController();
  const stop = (): void => end.abort();
  signal.addEventListener('abort', stop, { once: true });
  response.on('close', stop).on('error', stop);
  if (signal.aborted || response.destroyed) stop();
  response.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    Connection: 'close',
    // nginx would hold events back otherwise.
    'X-Accel-Buffering': 'no',
  });
  const heartbeat = setInterval(() => {
    if (!mayRead()) stop();
    // What a reader does not take is not heaped up for it.
    else if (!response.writableNeedDrain) response.write(': still here\n\n');
  }, HEARTBEAT_MS);
  let defect: unknown = null;
  try {
    const events = controller.events(after, end.signal)[Symbol.asyncIterator]();
    // Asked for before the reader hears that it is connected: what happens from now on is in the stream.
    let next = events.next();
    next.catch(() => undefined);
    response.write(`retry: ${RETRY_MS}\n\n`);
    let sent = 0;
    for (let event = await next; event.done !== true && !end.signal.aborted; event = await next) {
      if (!mayRead()) break;
      await send(response, event.value, end.signal);
      sent += 1;
      if (sent % EVENTS_IN_A_ROW === 0) await otherWork();
      next = events.next();
    }
  } catch (error) {
    if (!end.signal.aborted) defect = tell(response, error);
  } finally {
    clearInterval(heartbeat);
    signal.removeEventListener('abort', stop);
    stop();
    response.end();
  }
  return defect;
}

/**
 * The last thing a reader hears, with when to come again. @returns the error when it is a defect of the program, else
 * null
 */
function tell(response: ServerResponse, error: unknown): unknown {
  const failure = failureOf(error);
  response.write(
    `retry: ${RETRY_MS}\nevent: failure\ndata: ${shownJson(JSON.stringify((failure ?? INTERNAL).body))}\n\n`,
  );
  return failure === null ? error : null;
}

async function send(response: ServerResponse, event: EventView, signal: AbortSignal): Promise<void> {
  // Without a name of its own, so that one handler of a browser hears them all; the kind is in the data. JSON has no
  // line breaks outside of texts, where they are escaped.
  if (response.write(`id: ${event.revision}\ndata: ${shownJson(JSON.stringify(event))}\n\n`)) return;
  const giveUp = new AbortController();
  const stop = (): void => giveUp.abort();
  const timer = setTimeout(stop, STALL_MS);
  signal.addEventListener('abort', stop, { once: true });
  try {
    await once(response, 'drain', { signal: giveUp.signal });
  } catch {
    // It takes nothing, or it is gone: in both cases the stream is over.
    response.destroy();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}
