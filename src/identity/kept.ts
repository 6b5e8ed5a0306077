// What somebody decided to leave as it is.
import type { Finding, Kept } from './contract.ts';

/** Findings with those decisions in them; what is found of them afterwards is no problem. */
export function withKept(findings: readonly Finding[], kept: readonly Kept[]): readonly Finding[] {
  return findings.map((finding) => {
    const one = kept.find(({ rule, path }) => rule === finding.rule && (path === undefined || path === finding.path));
    return one === undefined || finding.action === 'keep' ? finding : { ...finding, action: 'keep', why: one.because };
  });
}
