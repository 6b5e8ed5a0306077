// Who ordered what, and who was refused: kept by the controller, which tells it in the log too. An order is kept before
// it is carried out. A refusal costs its sender more than us: those of one address and caller are counted by the
// minute.
import type { FastifyRequest } from 'fastify';
import { shown } from '../base/mod.ts';
import type { AuditEntry } from '../controller/mod.ts';
import type { Identity } from './authentication.ts';
import { networkOf } from './door.ts';

const MINUTE_MS = 60_000;
/** Senders that are told apart within a minute; further ones are counted together. */
const SENDERS_MAX = 64;
const OTHERS = 'other addresses';
/** Of one parameter of an order, characters. */
const WORD_LENGTH_MAX = 200;

export interface AuditParts {
  readonly record: (entry: AuditEntry) => Promise<void>;
  /** @default 60000 */
  readonly minuteMs?: number;
}

/** Of one sender in this minute, after the first, which was told at once. */
interface Counted {
  readonly entry: AuditEntry;
  more: number;
}

export class Audit {
  readonly #parts: AuditParts;
  readonly #counted = new Map<string, Counted>();
  readonly #timer: NodeJS.Timeout;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(parts: AuditParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#tellCounts(), parts.minuteMs ?? MINUTE_MS).unref();
  }

  /** Before it is carried out. @throws STORE_FAILED: what cannot be kept is not done */
  async order(request: FastifyRequest, identity: Identity): Promise<void> {
    const entry = entryOf('order', request, identity, null);
    await this.#parts.record(entry);
  }

  /** An order that was kept was not carried out, or not to its end. */
  failed(request: FastifyRequest, identity: Identity, code: string): void {
    this.#keep(entryOf('outcome', request, identity, code));
  }

  /** @param who the name, where one is known: of somebody who may not do this, or whose token has expired */
  refused(request: FastifyRequest, who: Identity | string | null, code: string): void {
    const entry = entryOf('refusal', request, who, code);
    const key = `${entry.from} ${entry.who} ${code}`;
    const known = this.#counted.get(key) ?? (this.#counted.size < SENDERS_MAX ? undefined : this.#others(entry));
    if (known !== undefined) known.more += 1;
    else {
      this.#counted.set(key, { entry, more: 0 });
      this.#keep(entry);
    }
  }

  /** Who may do what is not what it was. */
  changed(lines: readonly string[]): void {
    for (const line of lines) {
      const facts = { who: null, role: null, by: null, from: null, request: {}, code: null, count: 1 };
      this.#keep({ type: 'access', action: 'tokens', text: shown(line), ...facts });
    }
  }

  /** Tells what is still counted; nothing may follow. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#tellCounts();
    await this.#writing;
  }

  #others(entry: AuditEntry): Counted {
    const facts = { who: null, role: null, by: null, from: OTHERS, request: {} };
    const known = this.#counted.get(OTHERS) ?? { entry: { ...entry, ...facts, action: 'any' }, more: 0 };
    this.#counted.set(OTHERS, known);
    return known;
  }

  #tellCounts(): void {
    for (const { entry, more } of this.#counted.values()) {
      if (more > 0) this.#keep({ ...entry, count: more, text: `${textOf(entry)}, ${more} more in a minute` });
    }
    this.#counted.clear();
  }

  /** Whoever was refused does not wait for it. */
  #keep(entry: AuditEntry): void {
    // What the store cannot keep, the log of the controller has, and says why.
    const written = this.#parts.record(entry).catch(() => undefined);
    this.#writing = Promise.all([this.#writing, written]);
  }
}

function entryOf(
  type: AuditEntry['type'],
  request: FastifyRequest,
  who: Identity | string | null,
  code: string | null,
): AuditEntry {
  const { method } = request;
  const address = request.raw.socket.remoteAddress ?? 'unknown';
  const entry = {
    type,
    who: typeof who === 'string' ? who : (who?.name ?? null),
    role: typeof who === 'string' || who === null ? null : who.role,
    by: typeof who === 'string' || who === null ? null : who.kind,
    // A network of IPv6 has more addresses than can be counted; an order has the very address.
    from: type === 'refusal' ? networkOf(address) : address.replace(/^::ffff:/, ''),
    // Of a path that does not exist only that: it is the sender's text.
    action: `${method} ${request.routeOptions.url ?? '(no route)'}`,
    request: type === 'refusal' ? {} : wordsOf(request),
    code,
    count: 1,
  };
  return { ...entry, text: textOf(entry) };
}

/** Parameters and body, whose names the route has checked; a name of something unreadable may be any text. */
function wordsOf({ params, body }: FastifyRequest): Readonly<Record<string, string>> {
  const entries = Object.entries({ ...Object(params), ...Object(body) } as Readonly<Record<string, unknown>>);
  return Object.fromEntries(
    entries.flatMap(([name, value]) =>
      ['string', 'number', 'boolean'].includes(typeof value) ? [[name, wordOf(String(value))]] : [],
    ),
  );
}

function wordOf(text: string): string {
  return text.length > WORD_LENGTH_MAX ? `${shown(text.slice(0, WORD_LENGTH_MAX))}...` : shown(text);
}

/** "alice (operator) at 10.20.0.5: POST /v1/clone lead=web1 to=spare1". */
function textOf({ type, who, role, from, action, request, code }: Omit<AuditEntry, 'text'>): string {
  const name = who === null ? 'somebody' : role === null ? who : `${who} (${role})`;
  const words = Object.entries(request).map(([key, value]) => ` ${key}=${value}`);
  const end = code === null ? '' : `: ${type === 'refusal' ? 'refused' : 'failed'}, ${code}`;
  return `${name} at ${from}: ${action}${words.join('')}${end}`;
}
