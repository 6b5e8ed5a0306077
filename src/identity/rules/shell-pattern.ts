// Patterns of a shell (fnmatch(3)) that an image holds: each is held against a name in time that grows with both
// lengths and no faster, whatever the pattern. As a regular expression, one of many stars would be tried in more ways
// than there is time for.

/** A character that is one of some; null: any number of any. */
type Part = ((character: string) => boolean) | null;

/** Whether the whole name is one that the pattern means. Knows "*", "?", "[a-z]", "[!a-z]" and "\\". */
export function matchesShellPattern(pattern: string, name: string): boolean {
  const parts = partsOf(pattern);
  const characters = [...name];
  let [part, at] = [0, 0];
  /** The last star, and what comes behind it is tried from here on; only the last one need ever stand for more. */
  let star: { readonly part: number; from: number } | null = null;
  while (at < characters.length) {
    const wanted = parts[part];
    if (wanted === null) {
      part += 1;
      star = { part, from: at };
    } else if (wanted?.(characters[at] ?? '') === true) {
      part += 1;
      at += 1;
    } else if (star !== null) {
      star.from += 1;
      [part, at] = [star.part, star.from];
    } else {
      return false;
    }
  }
  return parts.slice(part).every((rest) => rest === null);
}

function partsOf(pattern: string): readonly Part[] {
  const parts: Part[] = [];
  const characters = [...pattern];
  const literal = (one: string) => parts.push((character) => character === one);
  for (let at = 0; at < characters.length; at += 1) {
    const one = characters[at] ?? '';
    if (one === '*') {
      if (parts.at(-1) !== null || parts.length === 0) parts.push(null);
    } else if (one === '?') parts.push(() => true);
    else if (one === '\\' && at + 1 < characters.length) {
      at += 1;
      literal(characters[at] ?? '');
    } else if (one === '[') {
      const end = endOfBracket(characters, at);
      // Without its partner it stands for itself.
      if (end === null) literal(one);
      else {
        parts.push(bracketOf(characters.slice(at + 1, end)));
        at = end;
      }
    } else literal(one);
  }
  return parts;
}

/** A "]" that comes first is one of the characters. */
function endOfBracket(characters: readonly string[], start: number): number | null {
  const inverted = ['!', '^'].includes(characters[start + 1] ?? '');
  const end = characters.indexOf(']', start + (inverted ? 3 : 2));
  return end < 0 ? null : end;
}

function bracketOf(characters: readonly string[]): (character: string) => boolean {
  const inverted = ['!', '^'].includes(characters[0] ?? '');
  const inside = inverted ? characters.slice(1) : characters;
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < inside.length; at += 1) {
    const [from = '', dash, to] = inside.slice(at, at + 3);
    const isRange = dash === '-' && to !== undefined;
    ranges.push([from, isRange ? to : from]);
    if (isRange) at += 2;
  }
  return (character) => ranges.some(([from, to]) => from <= character && character <= to) !== inverted;
}
