// A text of an image, looked at for values.
import { textOf } from '../tree/mod.ts';
import type { Value } from './values.ts';

/** More are not shown to anybody. */
const LINES_MAX = 5;
const COMMENT = /^\s*(#|;|\/\/)/;

/** A value in a file. */
export interface Mention {
  readonly value: Value;
  /** Numbers of the first lines that have it, from 1 on; and of how many. */
  readonly lines: readonly number[];
  readonly count: number;
  /** One of them at least is not a comment. */
  readonly isActive: boolean;
}

/** Looks for all values at once, so that each text is gone over once. */
export class Finder {
  readonly values: readonly Value[];
  readonly #any: RegExp;

  constructor(values: readonly Value[]) {
    this.values = values;
    // Without any value nothing matches.
    this.#any = new RegExp(values.map(({ spelling }) => spelling).join('|') || '(?!)', 'i');
  }

  mentionsIn(bytes: Buffer): readonly Mention[] {
    if (!this.#any.test(bytes.toString('latin1'))) return [];
    const lines = (textOf(bytes) ?? bytes.toString('latin1')).split('\n');
    return this.values.flatMap((value) => {
      const at = lines.flatMap((line, index) => (value.isIn(line) ? [index] : []));
      if (at.length === 0) return [];
      const isActive = at.some((index) => !COMMENT.test(lines[index] ?? ''));
      return [{ value, lines: at.slice(0, LINES_MAX).map((index) => index + 1), count: at.length, isActive }];
    });
  }
}
