// Names in file systems are bytes, ours are strings. A byte that is no UTF-8 becomes the lone surrogate U+DC00 + byte, as in
// Python (PEP 383), so that every name has exactly one string and every such string its name.

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function nameOfBytes(bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return escapeWrong(bytes);
  }
}

function escapeWrong(bytes: Buffer): string {
  let name = '';
  for (let at = 0; at < bytes.length; ) {
    const lengthBytes = sequenceBytes(bytes, at);
    if (lengthBytes === 0) name += String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
    else name += bytes.toString('utf8', at, at + lengthBytes);
    at += Math.max(lengthBytes, 1);
  }
  return name;
}

/** Length of the valid UTF-8 sequence that starts here, or 0. */
function sequenceBytes(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    decoder.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}

export function bytesOfName(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name, 'utf8');
  const parts: Buffer[] = [];
  for (const character of name) {
    const code = character.charCodeAt(0);
    const isByte = character.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    parts.push(isByte ? Buffer.from([code - 0xdc00]) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

/** On one line, and with nothing in it that a terminal would obey or that hides what is there. */
export function printable(text: string): string {
  // C0, C1, line separators, direction marks and lone surrogates.
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
