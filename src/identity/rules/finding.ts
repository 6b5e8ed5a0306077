// Findings as rules make them.
import type { Action, Finding } from '../contract.ts';
import { masked } from '../secrets.ts';
import { printable, type TextFile } from '../tree/mod.ts';

const VALUE_CHARS_MAX = 200;
/** So that a hostile file makes no work: what is shown is shorter still. */
const TEXT_CHARS_MAX = 10_000;
const VALUE_LOOKED_AT = 2_000;

interface Facts {
  readonly rule: string;
  readonly path: string;
  readonly value: string;
  readonly why: string;
  readonly action: Action;
  /** @default 'certain' */
  readonly confidence?: Finding['confidence'];
}

/**
 * On one line, short, and with nothing in it that a terminal would obey: paths and values are the image's own bytes.
 */
export function finding(facts: Facts): Finding {
  const line = facts.value.slice(0, TEXT_CHARS_MAX).trim().replace(/\s+/g, ' ');
  const value = printable(masked(line.slice(0, VALUE_LOOKED_AT)));
  return {
    rule: facts.rule,
    path: printable(facts.path),
    value: value.length > VALUE_CHARS_MAX ? `${value.slice(0, VALUE_CHARS_MAX)}...` : value,
    why: facts.why,
    action: facts.action,
    confidence: facts.confidence ?? 'certain',
  };
}

/** "lines 3, 4 and 7 more". */
export function linesText({ lines, count }: { readonly lines: readonly number[]; readonly count: number }): string {
  const more = count > lines.length ? ` and ${count - lines.length} more` : '';
  return `${count === 1 ? 'line' : 'lines'} ${lines.join(', ')}${more}`;
}

/** A file that matters and that cannot be changed by us: nobody knows what it says. */
export function unusable(rule: string, file: TextFile & { status: 'unusable' }): Finding {
  return finding({
    rule,
    path: file.path,
    value: file.why,
    why: 'It may hold what must not exist twice, and it cannot be changed as the file that it should be.',
    action: 'unknown',
  });
}
