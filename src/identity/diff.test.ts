import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unifiedDiff } from './diff.ts';

/** What patch(1) makes of it: context and removed lines have to be where the hunks say. */
function patched(before: string, diff: readonly string[]): string {
  const old = before === '' ? [] : before.replace(/\n$/, '').split('\n');
  const isOpen = before !== '' && !before.endsWith('\n');
  const result: string[] = [];
  let at = 0;
  let open = isOpen;
  for (const entry of diff.slice(2)) {
    const [line = '', note] = entry.split('\n');
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@$/.exec(line);
    if (hunk !== null) {
      const first = Number(hunk[1]) - (hunk[2] === '0' ? 0 : 1);
      while (at < first) result.push(old[at++] ?? '');
      continue;
    }
    if (line[0] !== '+') expect(old[at++]).toBe(line.slice(1));
    if (line[0] !== '-') {
      result.push(line.slice(1));
      open = note !== undefined;
    }
  }
  if (at < old.length) open = isOpen;
  result.push(...old.slice(at));
  return result.length === 0 ? '' : `${result.join('\n')}${open ? '' : '\n'}`;
}

const text = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', 'c', '', '@@ x', '--- y', '+'), { maxLength: 25 }), fc.boolean())
  .map(([lines, ends]) => (lines.length === 0 ? '' : `${lines.join('\n')}${ends ? '\n' : ''}`))
  .filter((one) => one !== '\n' || one.length > 0);

describe('unified diffs', () => {
  it('lead from one text to the other', () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        const diff = unifiedDiff('/etc/x', before, after);
        if (before === after) expect(diff).toEqual([]);
        else expect(patched(before, diff)).toBe(after);
      }),
      { numRuns: 500 },
    );
  });

  it('are as diff -u prints them', () => {
    const before = 'one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n';
    const lines = [
      '--- /etc/x',
      '+++ /etc/x',
      '@@ -2,7 +2,7 @@',
      ' two',
      ' three',
      ' four',
      '-five',
      '+FIVE',
      ' six',
      ' seven',
      ' eight',
    ];
    expect(unifiedDiff('/etc/x', before, before.replace('five', 'FIVE'))).toEqual(lines);
    expect(unifiedDiff('/etc/x', null, 'a\n')).toEqual(['--- /dev/null', '+++ /etc/x', '@@ -0,0 +1 @@', '+a']);
    expect(unifiedDiff('/etc/x', 'a\n', null)).toEqual(['--- /etc/x', '+++ /dev/null', '@@ -1 +0,0 @@', '-a']);
    expect(unifiedDiff('/etc/x', 'a\n', 'a').slice(3)).toEqual(['-a', '+a\n\\ No newline at end of file']);
  });

  it('of texts too different to be compared are one replacement, not minutes', () => {
    const [before, after] = [0, 1].map((kind) =>
      Array.from({ length: 3000 }, (_, line) => `${kind} ${line}\n`).join(''),
    );
    const diff = unifiedDiff('/etc/x', before ?? '', after ?? '');
    expect(diff).toHaveLength(3 + 6000);
    expect(patched(before ?? '', diff)).toBe(after);
  });
});
