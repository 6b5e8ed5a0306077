// The controller's answer, checked once, here. What is not as the protocol says is refused as a whole: an agent that follows
// half of an instruction watches something that nobody asked for.
import { messageOf } from '../base/mod.ts';
import type { AgentProbe, AgentSignal, Instruction } from './protocol.ts';
import { JUDGED_MAX, SIGNAL_NAME } from './protocol.ts';
import { parseUrl } from './url.ts';

const PROTOCOLS = ['http:', 'https:', 'tcp:'];
const URL_CHARACTERS_MAX = 2000;
const CONTAINS_CHARACTERS_MAX = 1000;
const WINDOW_SECONDS_MAX = 86_400;
const LEARN_SAMPLES_MIN = 50;
const LEARN_SAMPLES_MAX = 1_000_000;

type Fields = Readonly<Record<string, unknown>>;

class Refused extends Error {}

/** @returns the instruction, or one line that says what is wrong with it */
export function parseInstruction(text: string): Instruction | string {
  try {
    const fields = fieldsOf('the answer', JSON.parse(text));
    return {
      signals: signalsOf(fields.signals),
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

function signalsOf(value: unknown): readonly AgentSignal[] {
  if (!Array.isArray(value) || value.length > JUDGED_MAX)
    throw new Refused(`signals is no list of at most ${JUDGED_MAX}`);
  const signals = value.map((one) => signalOf(fieldsOf('a signal', one)));
  if (new Set(signals.map(({ name }) => name)).size < signals.length) throw new Refused('a signal is there twice');
  return signals;
}

function signalOf(fields: Fields): AgentSignal {
  const { name, outside } = fields;
  if (typeof name !== 'string' || !SIGNAL_NAME.test(name)) throw new Refused('name is not the name of a signal');
  if (typeof outside !== 'boolean') throw new Refused('outside is neither true nor false');
  const objective = fields.objective === null ? null : objectiveOf(fieldsOf('objective', fields.objective));
  const baseline = fields.baseline === null ? null : baselineOf(fieldsOf('baseline', fields.baseline));
  if (objective === null && baseline === null) throw new Refused('a signal has neither objective nor baseline');
  return { name, objective, baseline, outside };
}

function objectiveOf(fields: Fields): AgentSignal['objective'] {
  const { share } = fields;
  if (typeof share !== 'number' || !(share > 0 && share <= 1)) throw new Refused('share is not above 0 and up to 1');
  const seconds = (name: string, least: number): number | null =>
    fields[name] === null ? null : numberIn(fields, name, least, WINDOW_SECONDS_MAX);
  const fastSeconds = seconds('fastSeconds', 1);
  return {
    below: numberIn(fields, 'below', -Number.MAX_VALUE, Number.MAX_VALUE),
    fastSeconds,
    slowSeconds: seconds('slowSeconds', fastSeconds ?? 1),
    share,
  };
}

function baselineOf(fields: Fields): AgentSignal['baseline'] {
  const { direction } = fields;
  if (direction !== 'above' && direction !== 'below' && direction !== 'both') throw new Refused('direction is none');
  return { direction, learnSamples: numberIn(fields, 'learnSamples', LEARN_SAMPLES_MIN, LEARN_SAMPLES_MAX) };
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
