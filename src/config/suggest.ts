// "Did you mean": the known word that is nearest to one that is not known.

/** Longer words are not compared: nobody mistypes them, and comparing costs length times length. */
const LENGTH_MAX = 64;

/** Insertions, deletions, replacements and swaps of neighbours that make one word of the other (optimal string alignment). */
export function editDistance(from: string, to: string): number {
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      const changed = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (same ? 0 : 1));
      next.push(swapped ? Math.min(changed, (before[j - 2] ?? 0) + 1) : changed);
    }
    before = row;
    row = next;
  }
  return row[to.length] ?? 0;
}

/** The nearest of the known words, when it is near enough to be what was meant; the first of equals. */
export function nearest(word: string, known: Iterable<string>): string | null {
  if (word.length > LENGTH_MAX) return null;
  const plain = word.toLowerCase();
  let best: string | null = null;
  // Two slips in a short word, one in three letters of a long one.
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    if (candidate.length > LENGTH_MAX) continue;
    const distance = editDistance(plain, candidate.toLowerCase());
    if (distance < bestDistance && distance < Math.max(candidate.length, 2)) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** "did you mean web1?", or what there is: "known: web1, web2", or null when nothing is known. */
export function suggestion(word: string, known: readonly string[]): string | null {
  const near = nearest(word, known);
  if (near !== null) return `did you mean ${near}?`;
  if (known.length === 0) return null;
  const shown = known.slice(0, 12).join(', ');
  return known.length > 12 ? `known: ${shown}, ...` : `known: ${shown}`;
}
