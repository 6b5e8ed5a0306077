// Texts of an image that a parser of a nested language is to read: their shape is measured first, because parsers
// recurse, and some go over long runs of one sign again and again.

/** What the programs themselves write, and people, stays far below. */
const DEPTH_MAX = 64;
/** Columns that a line of YAML may begin with before its text: each level of nesting takes one at least. */
const INDENT_MAX = 128;
const LINE_CHARS_MAX = 4096;
const PAIRS_IN_LINE_MAX = 256;
const JSON_CHARS_MAX = 4 * 1024 * 1024;

/** Why a YAML parser is not to see this text; null: it may. One pass, whatever the text. */
export function yamlRefusal(text: string, charsMax: number): string | null {
  if (text.length > charsMax) return `it has more than ${charsMax} characters`;
  if (depthOf(text) > DEPTH_MAX) return `it is nested more than ${DEPTH_MAX} deep`;
  for (const line of text.split(/\r\n|[\r\n]/)) {
    if (line.length > LINE_CHARS_MAX) return `it has a line of more than ${LINE_CHARS_MAX} characters`;
    if (prefixOf(line) > INDENT_MAX) return `it is nested more than ${INDENT_MAX} columns deep`;
    // Signs that begin a node of their own: "a: b: c:", "&a &a", "!x !x", "* *".
    if (countOf(line, ':&!*|>%') > PAIRS_IN_LINE_MAX) return 'it has too much on one line';
  }
  return null;
}

/**
 * What a text of JSON says. Null: it is not JSON, or larger or deeper than the programs whose files we know write it.
 */
export function boundedJson(text: string): { readonly value: unknown } | null {
  if (text.length > JSON_CHARS_MAX || depthOf(text) > DEPTH_MAX) return null;
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return null;
  }
}

/** How deep brackets nest at most. Those within quotes count as well: a text with so many of them is none of ours. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    const sign = text.charCodeAt(at);
    if (sign === 0x5b || sign === 0x7b) deepest = Math.max(deepest, ++depth);
    else if ((sign === 0x5d || sign === 0x7d) && depth > 0) depth -= 1;
  }
  return deepest;
}

/** Columns of a line that only say how deep its text is: blanks, and the signs "-", "?" and ":" in front of more. */
function prefixOf(line: string): number {
  let at = 0;
  while (at < line.length && ' \t-?:'.includes(line.charAt(at))) at += 1;
  // A line of dashes alone is a comment's ornament or the mark between documents, unless blanks are between them.
  return /^-+$/.test(line) ? 0 : at;
}

function countOf(line: string, signs: string): number {
  let count = 0;
  for (let at = 0; at < line.length; at++) if (signs.includes(line.charAt(at))) count += 1;
  return count;
}
