// One byte behind the last member of gzip data. gzip(1) ignores two and more, with a warning, but takes a single one
// for the start of a member that was cut off: it reads two before it looks at them. A zero behind the data gives it the
// second one. Zeros there are no error to it; it says with -v that it found some, and does not where it took ours for a
// byte of the last member that was missing.
import { createReadStream } from 'node:fs';

const PIECE_BYTES = 1024 * 1024;
/** A member begins with it: whether more of one was to follow is for gzip(1) to say. */
const MEMBER = 0x1f;

/** What gzip(1) says where zeros follow the last member. */
export const ZEROS = /decompression OK, trailing zero bytes ignored/;
/** What it says of a single byte there, and of data that are cut off. */
export const CUT_OFF = /unexpected end of file/;

/** The same pieces and a zero; `onZero` hears that it has been added. */
export async function* withZeroBehind(
  pieces: AsyncIterable<Uint8Array>,
  onZero: () => void,
): AsyncGenerator<Uint8Array> {
  let last = MEMBER;
  for await (const piece of pieces) {
    last = piece.at(-1) ?? last;
    yield piece;
  }
  if (last === MEMBER) return;
  onZero();
  yield new Uint8Array(1);
}

/** All of a file from its start; the descriptor is closed at the end. */
export function piecesOfFile(fd: number): AsyncIterable<Uint8Array> {
  return createReadStream('', { fd, start: 0, highWaterMark: PIECE_BYTES });
}
