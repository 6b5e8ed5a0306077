// HAProxy's runtime interface: one line in, everything until the end of the connection out. HAProxy 2.6 management guide,
// section 9.3 (non-interactive mode).
import { connect } from 'node:net';
import { assert, messageOf, UnderstudyError } from '../../base/mod.ts';

/** A dump of some ten thousand servers; more is not an answer of HAProxy. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
/** HAProxy answers from memory: whoever takes longer hangs. */
export const ANSWER_MS_MAX = 10_000;

/**
 * Sends one line of commands, separated by semicolons.
 * @returns what HAProxy said, the empty lines after each answer included
 * @throws DIRECTOR_FAILED when the socket cannot be used or the answer is cut off, DIRECTOR_TIMEOUT; the signal's reason
 */
export function askHaproxy(path: string, line: string, signal: AbortSignal): Promise<string> {
  assert(!/[\n\r\\]/.test(line), 'one line of commands');
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    const socket = connect({ path });
    const end = (error: unknown): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      if (error === null) resolve(Buffer.concat(parts).toString('utf8'));
      else reject(error);
    };
    const abort = (): void => end(signal.reason);
    const failed = (what: string, cause?: unknown): UnderstudyError =>
      new UnderstudyError('DIRECTOR_FAILED', `HAProxy at ${path}: ${what}`, { cause });
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) return abort();
    // Idle for so long: neither connected nor a byte of an answer.
    socket.setTimeout(ANSWER_MS_MAX, () => {
      end(new UnderstudyError('DIRECTOR_TIMEOUT', `HAProxy at ${path}: no answer within ${ANSWER_MS_MAX} ms`));
    });
    socket.on('error', (error) => end(failed(messageOf(error), error)));
    socket.on('data', (part) => {
      parts.push(part);
      bytes += part.length;
      if (bytes > ANSWER_BYTES_MAX) end(failed('an answer without end'));
    });
    socket.on('close', () => {
      // Each answer ends with a line break, be it the only thing in it.
      end(parts.at(-1)?.at(-1) === 0x0a ? null : failed('it went away before it had answered'));
    });
    socket.write(`${line}\n`);
  });
}

/**
 * What a socket may do: "user" sees statistics, "operator" changes little, "admin" everything (management guide, "show cli level").
 * @throws as `askHaproxy`
 */
export async function haproxyLevel(path: string, signal: AbortSignal): Promise<string> {
  return (await askHaproxy(path, 'show cli level', signal)).trim();
}

/** What HAProxy says when a command did what it should; most say nothing. */
const DONE = /^(|New server registered\.|Server deleted\.|((IP|port) changed|no need to change) .*)$/s;
/**
 * Refusals that the next look at the state explains: somebody else was quicker, or a connection is still being closed.
 */
const TOO_EARLY =
  /^(No such server\.|Already exists a server with the same name in backend\.|Server still has connections attached to it.*|Only servers in maintenance mode can be deleted\.)$/;

/**
 * Gives one order. Whether it had its effect is to be read back.
 * @returns what HAProxy said when the order came too early, or null
 * @throws DIRECTOR_FAILED with what HAProxy said when it refused, and everything that `askHaproxy` throws
 */
export async function orderHaproxy(path: string, order: string, signal: AbortSignal): Promise<string | null> {
  const said = (await askHaproxy(path, order, signal)).trim();
  if (DONE.test(said)) return null;
  if (TOO_EARLY.test(said)) return said;
  throw new UnderstudyError('DIRECTOR_FAILED', `HAProxy at ${path} refused "${order}": ${said.split('\n', 1)[0]}`);
}
