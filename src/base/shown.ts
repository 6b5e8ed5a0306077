// Text of others (names of files, messages of servers, URLs with passwords) as it may be sent to a terminal, a log or a
// client.

/**
 * Control characters (C0, DEL, C1), line and paragraph separators, halves of pairs, and format characters, among them
 * those that turn the direction of text (Unicode Standard Annex 9). Joiners stay: emoji and several scripts are written
 * with them.
 */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|(?![\u200c\u200d])\p{Cf}/gu;

/** The text in one line, with what would act on a terminal written out: "\x1b", "\u202e". */
export function shown(text: string): string {
  return text.replaceAll(UNSAFE, written);
}

/** The same of a text of several lines, which its writer has put together of parts that are shown; tabs stay. */
export function shownLines(text: string): string {
  return text.replaceAll(UNSAFE, (one) => (one === '\n' || one === '\t' ? one : written(one)));
}

/** JSON (of JSON.stringify) that says the same and acts on no terminal. */
export function shownJson(text: string): string {
  return text.replaceAll(UNSAFE, (character) =>
    character === '\n'
      ? character
      : Array.from({ length: character.length }, (_, at) => escaped(character, at)).join(''),
  );
}

function escaped(character: string, at: number): string {
  return `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
}

function written(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
}

const HIDDEN = '...';
/** User name and password of a URL (RFC 3986, 3.2.1), and the query behind it. */
const URL_SECRETS = /\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/?#"'@]*@)?([^\s?#"'<>]*)(\?[^\s#"'<>]*)?/gi;
/** Parameters that give their bearer something: of signed URLs (S3, Google, Azure), sessions and keys. */
const SECRET_NAME = /token|sig|secret|passw|pwd|key|auth|cred|session|jwt|ticket|^(code|se|sv|x-amz-|x-goog-)/i;
/** A value so long is no name of a thing. */
const NAME_CHARACTERS_MAX = 40;

/**
 * The text with what a URL in it would give away left out: user and password, values of parameters that look like a
 * secret.
 */
export function withoutSecrets(text: string): string {
  if (!text.includes('://')) return text;
  return text.replaceAll(URL_SECRETS, (_, scheme: string, rest: string, query: string | undefined) => {
    const isNbd = scheme.toLowerCase().startsWith('nbd');
    return `${scheme}${rest}${query === undefined || isNbd ? (query ?? '') : query.replaceAll(/=([^&;]*)/g, value(query))}`;
  });
}

function value(query: string): (pair: string, text: string, at: number) => string {
  return (pair, text, at) => {
    const name = /[^?&;]*$/.exec(query.slice(0, at))?.[0] ?? '';
    return SECRET_NAME.test(name) || text.length > NAME_CHARACTERS_MAX ? `=${HIDDEN}` : pair;
  };
}
