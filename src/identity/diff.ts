// Unified diffs (POSIX diff -u) of texts for people, by the longest common subsequence of their lines.

const CONTEXT_LINES = 3;
/** Above this many pairs of lines, what lies between the common start and end is shown as replaced as a whole. */
const CELLS_MAX = 4_000_000;

interface Step {
  readonly sign: ' ' | '-' | '+';
  readonly line: string;
}

/**
 * The lines of a diff, from "---" on; none when both are equal. null: there is no file.
 * @param look what a text's lines are shown as, as many as they are. The lines are compared as they are
 */
export function unifiedDiff(
  path: string,
  before: string | null,
  after: string | null,
  look: (lines: readonly string[]) => readonly string[] = (lines) => lines,
): readonly string[] {
  if (before === after) return [];
  const [old, next] = [linesOf(before), linesOf(after)];
  const steps = looking(compare(old, next), look(old), look(next));
  const head = [`--- ${before === null ? '/dev/null' : path}`, `+++ ${after === null ? '/dev/null' : path}`];
  return [...head, ...hunks(steps)];
}

/** An old line is shown as it looks among the old ones, a new one among the new ones. */
function looking(steps: readonly Step[], before: readonly string[], after: readonly string[]): readonly Step[] {
  let [old, next] = [0, 0];
  return steps.map(({ sign, line }) => {
    const shown = sign === '+' ? after[next] : before[old];
    if (sign !== '+') old += 1;
    if (sign !== '-') next += 1;
    return { sign, line: shown ?? line };
  });
}

function linesOf(text: string | null): string[] {
  if (text === null || text === '') return [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  else lines[lines.length - 1] += '\n\\ No newline at end of file';
  return lines;
}

function compare(before: readonly string[], after: readonly string[]): Step[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (
    end < before.length - start &&
    end < after.length - start &&
    before[before.length - 1 - end] === after[after.length - 1 - end]
  ) {
    end += 1;
  }
  const same = (lines: readonly string[]): Step[] => lines.map((line) => ({ sign: ' ', line }));
  const middle = compareMiddle(before.slice(start, before.length - end), after.slice(start, after.length - end));
  return [...same(before.slice(0, start)), ...middle, ...same(before.slice(before.length - end))];
}

function compareMiddle(before: readonly string[], after: readonly string[]): Step[] {
  const width = after.length + 1;
  if (before.length * after.length > CELLS_MAX) return [...signed('-', before), ...signed('+', after)];
  // lengths[i * width + j]: of the longest common subsequence of what is left from line i and line j on.
  const lengths = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const down = lengths[(i + 1) * width + j] ?? 0;
      const right = lengths[i * width + j + 1] ?? 0;
      const both = (lengths[(i + 1) * width + j + 1] ?? 0) + 1;
      lengths[i * width + j] = before[i] === after[j] ? both : Math.max(down, right);
    }
  }
  const steps: Step[] = [];
  let i = 0;
  let j = 0;
  while (i < before.length && j < after.length) {
    const line = before[i] ?? '';
    if (line === after[j]) steps.push({ sign: ' ', line });
    else if ((lengths[(i + 1) * width + j] ?? 0) >= (lengths[i * width + j + 1] ?? 0)) steps.push({ sign: '-', line });
    else steps.push({ sign: '+', line: after[j] ?? '' });
    const { sign } = steps.at(-1) ?? { sign: ' ' };
    if (sign !== '+') i += 1;
    if (sign !== '-') j += 1;
  }
  return [...steps, ...signed('-', before.slice(i)), ...signed('+', after.slice(j))];
}

function signed(sign: Step['sign'], lines: readonly string[]): Step[] {
  return lines.map((line) => ({ sign, line }));
}

function hunks(steps: readonly Step[]): string[] {
  const near = new Uint8Array(steps.length);
  for (const [at, { sign }] of steps.entries()) {
    if (sign !== ' ') near.fill(1, Math.max(0, at - CONTEXT_LINES), Math.min(steps.length, at + CONTEXT_LINES + 1));
  }
  const lines: string[] = [];
  let old = 1;
  let next = 1;
  for (let at = 0; at < steps.length; ) {
    let end = at;
    while (end < steps.length && near[end] === near[at]) end += 1;
    const hunk = steps.slice(at, end);
    const oldCount = hunk.filter(({ sign }) => sign !== '+').length;
    const nextCount = hunk.filter(({ sign }) => sign !== '-').length;
    if (near[at] === 1) {
      lines.push(`@@ -${range(old, oldCount)} +${range(next, nextCount)} @@`);
      lines.push(...hunk.map(({ sign, line }) => `${sign}${line}`));
    }
    old += oldCount;
    next += nextCount;
    at = end;
  }
  return lines;
}

/** An empty range names the line before it. */
function range(first: number, count: number): string {
  if (count === 1) return String(first);
  return `${count === 0 ? first - 1 : first},${count}`;
}
