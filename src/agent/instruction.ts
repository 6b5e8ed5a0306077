// The controller's answer, checked once, here. What is not as the protocol says is refused as a whole: an agent that follows
// half of an instruction watches something that nobody asked for.
import { messageOf } from '../base/mod.ts';
import type { AgentObjective, AgentProbe, Instruction } from './protocol.ts';
import { SIGNAL_NAME } from './protocol.ts';
import { parseUrl } from './url.ts';

const PROTOCOLS = ['http:', 'https:', 'tcp:'];
const URL_CHARACTERS_MAX = 2000;
const CONTAINS_CHARACTERS_MAX = 1000;
const WINDOW_SECONDS_MAX = 86_400;

type Fields = Readonly<Record<string, unknown>>;

class Refused extends Error {}

/** @returns the instruction, or one line that says what is wrong with it */
export function parseInstruction(text: string): Instruction | string {
  try {
    const fields = fieldsOf('the answer', JSON.parse(text));
    return {
      objective: fields.objective === null ? null : objectiveOf(fieldsOf('objective', fields.objective)),
      probe: fields.probe === null ? null : probeOf(fieldsOf('probe', fields.probe)),
      reportSeconds: numberIn(fields, 'reportSeconds', 1, 60),
    };
  } catch (error) {
    if (error instanceof SyntaxError) return `not JSON: ${messageOf(error).slice(0, 100)}`;
    if (error instanceof Refused) return error.message;
    throw error;
  }
}

function fieldsOf(name: string, value: unknown): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw new Refused(`${name} is not an object`);
}

function numberIn(fields: Fields, name: string, least: number, most: number): number {
  const value = fields[name];
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw new Refused(`${name} is not a number from ${least} to ${most}`);
}

function objectiveOf(fields: Fields): AgentObjective {
  const { signal, share } = fields;
  if (typeof signal !== 'string' || !SIGNAL_NAME.test(signal)) throw new Refused('signal is not the name of a signal');
  if (typeof share !== 'number' || !(share > 0 && share <= 1)) throw new Refused('share is not above 0 and up to 1');
  const fastSeconds = numberIn(fields, 'fastSeconds', 1, WINDOW_SECONDS_MAX);
  return {
    signal,
    below: numberIn(fields, 'below', 0, Number.MAX_VALUE),
    fastSeconds,
    slowSeconds: numberIn(fields, 'slowSeconds', fastSeconds, WINDOW_SECONDS_MAX),
    share,
  };
}

function probeOf(fields: Fields): AgentProbe {
  const { url, contains } = fields;
  if (contains !== null && (typeof contains !== 'string' || contains.length > CONTAINS_CHARACTERS_MAX)) {
    throw new Refused(`contains is not a text of at most ${CONTAINS_CHARACTERS_MAX} characters`);
  }
  if (typeof url !== 'string' || url.length > URL_CHARACTERS_MAX || !isProbeUrl(url)) {
    throw new Refused('url is not one that can be probed');
  }
  return { url, contains, timeoutMs: numberIn(fields, 'timeoutMs', 100, 60_000) };
}

function isProbeUrl(text: string): boolean {
  const url = parseUrl(text);
  if (url === null) return false;
  if (!PROTOCOLS.includes(url.protocol) || url.hostname === '' || url.username !== '' || url.password !== '')
    return false;
  return url.protocol !== 'tcp:' || (url.port !== '' && Number(url.port) > 0);
}
