// One line of the QEMU Machine Protocol, checked (docs/interop/qmp-spec of QEMU). Whatever comes out of a socket may be
// anything: what is not a message of the protocol ends the connection, and nothing behind this file looks at raw JSON.
import * as z from 'zod';
import { UnderstudyError } from '../../base/mod.ts';

/** Far above the longest answer (a list of all block nodes of hundreds of volumes), far below what memory has. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024;
/** Of rubbish, so much is shown. */
const SHOWN_CHARACTERS = 120;

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: string }
  | { readonly kind: 'return'; readonly id: number; readonly value: unknown }
  /** `id` is null when the server could not even read the command. */
  | { readonly kind: 'refusal'; readonly id: number | null; readonly description: string }
  | QmpEvent;

export interface QmpEvent {
  readonly kind: 'event';
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const count = z.number().int().nonnegative();
const greeting = z.object({
  QMP: z.object({
    version: z.object({ qemu: z.object({ major: count, minor: count, micro: count }), package: z.string() }),
    capabilities: z.array(z.unknown()),
  }),
});
const success = z.object({ return: z.unknown(), id: count });
const refusal = z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: count.optional() });
const event = z.object({
  event: z.string(),
  data: z.record(z.string(), z.unknown()).default({}),
  timestamp: z.object({ seconds: z.number(), microseconds: z.number() }),
});

/** @throws STORAGE_FAILED for what is no message of the protocol */
export function parseMessage(line: string): QmpMessage {
  const raw = parseJson(line);
  if ('QMP' in raw) {
    const { version } = check(greeting, raw, line).QMP;
    const { major, minor, micro } = version.qemu;
    return { kind: 'greeting', version: `${major}.${minor}.${micro}` };
  }
  if ('event' in raw) {
    const { event: name, data } = check(event, raw, line);
    return { kind: 'event', name, data };
  }
  if ('error' in raw) {
    const { error, id } = check(refusal, raw, line);
    return { kind: 'refusal', id: id ?? null, description: error.desc };
  }
  const { return: value, id } = check(success, raw, line);
  return { kind: 'return', id, value };
}

function parseJson(line: string): object {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw rubbish(line, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw rubbish(line);
  return value;
}

function check<T>(schema: z.ZodType<T>, value: object, line: string): T {
  const result = schema.safeParse(value);
  if (!result.success) throw rubbish(line, result.error);
  return result.data;
}

function rubbish(line: string, cause?: unknown): UnderstudyError {
  const shown = JSON.stringify(line.slice(0, SHOWN_CHARACTERS));
  return new UnderstudyError('STORAGE_FAILED', `the storage daemon's socket does not speak QMP: ${shown}`, { cause });
}
