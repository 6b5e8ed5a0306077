// The state folder of a running controller: that it is still the one that was opened. Without it nothing can be
// remembered, so the controller ends at once, and says what to do.
import { statSync } from 'node:fs';
import { errnoOf, UnderstudyError } from '../src/base/mod.ts';

const LOOK_MS = 250;

/**
 * @param paths files that are open as long as it runs @returns resolves with STATE_LOST when one of them was removed,
 *   or another one is in its place; never otherwise
 */
export function watchState(paths: readonly string[], signal: AbortSignal): Promise<Error> {
  const known = paths.map((path) => ({ path, identity: identityOf(path) }));
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const lost = known.find(({ path, identity }) => identityOf(path) !== identity);
      if (lost === undefined) return;
      clearInterval(timer);
      resolve(lossOf(lost.path));
    }, LOOK_MS);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  });
}

function lossOf(path: string): Error {
  const what = identityOf(path) === null ? 'was removed' : 'was replaced by another file';
  return new UnderstudyError(
    'STATE_LOST',
    `${path} ${what} while the controller ran: it has ended, and hosts and volumes are as they were; run "understudy recover"`,
  );
}

function identityOf(path: string): string | null {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}
