// How a host stands, for policy: by what its own agent says of it, by what the director and Prometheus tell of it, or by both.
import { type PolicyEvidence, type PolicyVerdict, worstFirst } from '../policy/mod.ts';

export interface Standing {
  readonly verdict: PolicyVerdict;
  /** Since when without a gap; null: not known. */
  readonly sinceMs: number | null;
  readonly evidence: readonly PolicyEvidence[];
  /** Another host would help; only with degraded and failing. */
  readonly lacksCapacity: boolean;
  /** What says that the host is not to blame; null: nothing does. */
  readonly outside: PolicyEvidence | null;
}

export const NOTHING_KNOWN: Standing = {
  verdict: 'unknown',
  sinceMs: null,
  evidence: [],
  lacksCapacity: false,
  outside: null,
};

/** The worst of what is said, for as long as it was: healthy since all are, anything else since the first said so. */
export function combine(parts: readonly Standing[]): Standing {
  const verdict = worstFirst.find((one) => parts.some((part) => part.verdict === one));
  if (verdict === undefined) return NOTHING_KNOWN;
  const deciding = parts.filter((part) => part.verdict === verdict);
  const times = deciding.map(({ sinceMs }) => sinceMs).filter((sinceMs) => sinceMs !== null);
  const span = verdict === 'healthy' ? Math.max : Math.min;
  return {
    verdict,
    sinceMs: times.length < deciding.length ? null : span(...times),
    evidence: deciding.flatMap(({ evidence }) => evidence),
    lacksCapacity: parts.some(({ lacksCapacity }) => lacksCapacity),
    outside: parts.find(({ outside }) => outside !== null)?.outside ?? null,
  };
}
