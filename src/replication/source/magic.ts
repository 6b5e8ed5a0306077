// Bytes at a place: what all recognition of formats rests on.

/** Whether `bytes` has this text (Latin-1) or these bytes at an offset. */
export function hasAt(bytes: Uint8Array, magic: string | readonly number[], at = 0): boolean {
  const wanted = typeof magic === 'string' ? Buffer.from(magic, 'latin1') : magic;
  return wanted.every((byte, index) => bytes[at + index] === byte);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Text up to the first NUL, Latin-1 as it comes from headers. */
export function textAt(bytes: Uint8Array, at: number, lengthBytes: number): string {
  const field = bytes.subarray(at, at + lengthBytes);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString('utf8');
}
