// Evidence of others, cut to what is kept of it. An agent may say much and a host may be hostile; what is stored, shown
// and compared has a bound of its own.
import { shown } from '../base/mod.ts';
import type { EvidenceView } from './contract.ts';

/** Of what one agent says of its host. */
export const AGENT_EVIDENCE_BYTES_MAX = 4096;
/** Of one decision, which rests on several hosts. */
export const DECISION_EVIDENCE_BYTES_MAX = 8192;

const TEXT_CHARACTERS_MAX = 300;
const VALUES_MAX = 16;
const NAME_CHARACTERS_MAX = 64;

type Values = EvidenceView['values'];
type Fact = Pick<EvidenceView, 'text' | 'values'>;

/**
 * The facts in their order, each in one line without control characters, as long as their JSON fits into so many bytes.
 * A fact whose numbers do not fit stays without them; the first fact stays always.
 */
export function cutEvidence<T extends Fact>(facts: readonly T[], bytesMax: number): readonly T[] {
  const kept: T[] = [];
  let bytes = 0;
  for (const fact of facts) {
    const text = cutText(fact.text);
    const whole = { ...fact, text, values: cutValues(fact.values) };
    const bare = { ...fact, text, values: {} };
    const chosen = bytes + sizeOf(whole) <= bytesMax ? whole : bare;
    bytes += sizeOf(chosen);
    if (bytes > bytesMax && kept.length > 0) break;
    kept.push(chosen);
  }
  return kept;
}

export function cutText(text: string): string {
  const line = shown(text);
  return line.length <= TEXT_CHARACTERS_MAX ? line : `${line.slice(0, TEXT_CHARACTERS_MAX - 1)}…`;
}

function cutValues(values: Values): Values {
  const entries = Object.entries(values).slice(0, VALUES_MAX);
  return Object.fromEntries(
    entries.map(([name, value]) => [
      shown(name).slice(0, NAME_CHARACTERS_MAX),
      typeof value === 'string' ? shown(value).slice(0, NAME_CHARACTERS_MAX) : value,
    ]),
  );
}

function sizeOf(value: object): number {
  return Buffer.byteLength(JSON.stringify(value));
}
