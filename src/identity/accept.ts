// Which unknown findings somebody has accepted. A decision is about one finding, by its rule and its path: a rule may
// find a cluster's member beside another one's, and whoever decided about the first has not seen the second.
import { shown } from '../base/mod.ts';
import type { Finding } from './contract.ts';
import { matchesShellPattern } from './rules/mod.ts';

/** What accepts a finding, as command line and configuration write it. */
export function acceptance({ rule, path }: Pick<Finding, 'rule' | 'path'>): string {
  return `${rule}:${path}`;
}

/**
 * Unknown findings that are still to be decided.
 * @param accept "RULE:PATH", where PATH may be a pattern ("*" is anything, also a "/"); or "RULE" alone, which accepts
 *   what the rule finds at one path, and nothing where it finds something at several
 */
export function openFindings(findings: readonly Finding[], accept: readonly string[]): readonly Finding[] {
  const unknown = findings.filter(({ action }) => action === 'unknown');
  const isOnly = (rule: string): boolean =>
    new Set(unknown.filter((one) => one.rule === rule).map(({ path }) => path)).size === 1;
  const accepts = (word: string, { rule, path }: Finding): boolean => {
    if (word === rule) return isOnly(rule);
    if (!word.startsWith(`${rule}:`)) return false;
    const wanted = word.slice(rule.length + 1);
    return wanted === path || matchesShellPattern(wanted, path);
  };
  return unknown.filter((one) => !accept.some((word) => accepts(word, one)));
}

/** For a message: one line each, beginning with what accepts it. */
export function listed(findings: readonly Finding[]): readonly string[] {
  return findings.map((one) => `${shown(acceptance(one))}  ${shown(one.value)}`);
}
