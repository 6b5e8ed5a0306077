// What was under way when the process died may have ended it, or have been beside what did. After a few deaths in a row
// such a step is begun only while no other suspect is under way: the next death then tells which one it was, and no
// other is blamed for it.
import { UnderstudyError } from '../base/mod.ts';

/** From so many tries that never ended on, a step is a suspect. */
export const LOST_SUSPECT = 3;

export class Suspects {
  #last: Promise<void> = Promise.resolve();

  /**
   * Waits until no other suspect is under way. @returns what ends one's own turn
   * @throws INTERRUPTED when the signal ends the wait
   */
  async turn(signal: AbortSignal): Promise<() => void> {
    const before = this.#last;
    let end: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#last = before.then(() => mine);
    await untilEither(before, signal);
    if (!signal.aborted) return end;
    end();
    throw new UnderstudyError('INTERRUPTED', 'stopped while another step had to be under way alone');
  }
}

async function untilEither(before: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    stop = resolve;
    signal.addEventListener('abort', stop, { once: true });
  });
  await Promise.race([before, stopped]);
  signal.removeEventListener('abort', stop);
}
