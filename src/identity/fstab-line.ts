// One line of fstab(5), in its fields.

export interface FstabFields {
  readonly what: string;
  readonly at: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** Null for what is a comment, or empty. */
export function fstabFields(line: string): FstabFields | null {
  const [what = '', at = '', type = '', options = ''] = line.trim().split(/\s+/, 4).map(decode);
  return what === '' || what.startsWith('#') ? null : { what, at, type, options: options.split(',') };
}

/** Spaces and such are written as octal numbers of their bytes. */
function decode(field: string): string {
  const pieces = field.split(/(\\[0-7]{3})/).map((piece, index) => {
    return index % 2 === 1 ? Buffer.from([Number.parseInt(piece.slice(1), 8) & 255]) : Buffer.from(piece);
  });
  return Buffer.concat(pieces).toString();
}
