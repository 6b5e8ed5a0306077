// Text of others (names of files, messages of servers) as it may be sent to a terminal.

/**
 * Control characters (C0, DEL, C1), line and paragraph separators, halves of pairs, and format characters, among them those that
 * turn the direction of text (Unicode Standard Annex 9). Joiners stay: emoji and several scripts are written with them.
 */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|(?![\u200c\u200d])\p{Cf}/gu;

/** The text in one line, with what would act on a terminal written out: "\x1b", "\u202e". */
export function shown(text: string): string {
  return text.replaceAll(UNSAFE, written);
}

function written(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
}
