// Where a line of a text has the name of a host as a value, and not as a word of a sentence. Hosts are called
// "default", "mail" or "debian", and so are many other things.

const COMMENT = /^\s*(#|;|\/\/|<!--)/;
const LINE_CHARS_MAX = 4096;
/** What only a name has, and hardly a word of a sentence. */
const NAME_LIKE = /[\d.:/@_-]|^localhost$/i;

/** Tells whether a line that is no comment has the name as a value, or the full name anywhere. */
export function nameMatcher(name: string, fullName: string): (line: string) => boolean {
  const word = escaped(name);
  const anywhere = new RegExp(`(?<![\\w-])${word}(?![\\w-])`, 'i');
  const whole = fullName === name ? null : new RegExp(`(?<![\\w.-])${escaped(fullName)}(?![\\w-]|\\.\\w)`, 'i');
  const end = `(?=$|[\\s"'\`,;:)\\]}>/])`;
  // Behind a sign that separates, all of what is between two of them; in the place of the host of a URL.
  const alone = new RegExp(
    `(?:[=,;([{<]\\s*|:\\s+|["'\`])${word}\\s*(?:$|[,;"'\`)\\]}>#])|(?::\\/\\/(?:[^\\/\\s@]*@)?|@)${word}${end}|[=:]${word}${end}`,
    'i',
  );
  const own = name.toLowerCase();
  return (line) => {
    if (line.length > LINE_CHARS_MAX) return anywhere.test(line);
    if (!anywhere.test(line) || COMMENT.test(line)) return false;
    return whole?.test(line) === true || alone.test(line) || isListed(line, own);
  };
}

/**
 * One of the words of a list: of what is behind "=" or ":", of what is in quotes, or of a line without any such sign. A
 * list is one word, a directive and one word, a directive that ends with ";", or names only.
 */
function isListed(line: string, own: string): boolean {
  const bare = line.trim().replace(/(?<!\s)\s+[#;].*$/, '');
  const sign = /^[^=:"']*[=:]\s*(?=\S)/.exec(bare);
  const list = bare.slice(sign?.[0].length ?? 0).replace(/^["'`(]+|["'`),;{]+$/g, '');
  const words = list.toLowerCase().split(/[\s,]+/);
  if (!words.includes(own)) return false;
  if (bare.endsWith(';') && words[0] !== own) return true;
  const others = words.filter((word) => word !== own);
  if (others.length === 0 || (sign === null && words.length === 2 && words[1] === own)) return true;
  if (sign !== null && NAME_LIKE.test(own)) return true;
  return others.every((word) => NAME_LIKE.test(word)) && (sign !== null || NAME_LIKE.test(own));
}

function escaped(text: string): string {
  return text.replace(/[^A-Za-z0-9-]/g, '\\$&');
}
