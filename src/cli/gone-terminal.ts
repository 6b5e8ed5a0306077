// A terminal that has gone must not take the exit status with it. When Node.js ends, it sets the terminals that it found on the
// descriptors 0 to 2 back to what they were, and aborts where that fails (ResetStdio in its src/node.cc): a copy that was stopped in
// good order, or that ignores the hang-up and is complete, would end by SIGABRT or SIGSEGV.
import { closeSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';

const STANDARD_FDS = [0, 1, 2];

/** Called before anything else; at the end, what was a terminal and has gone is replaced by /dev/null, which Node.js leaves alone. */
export function outliveTerminal(): void {
  const terminals = STANDARD_FDS.filter((fd) => isatty(fd));
  process.on('exit', () => {
    for (const fd of terminals) if (!isatty(fd)) replace(fd);
  });
}

function replace(fd: number): void {
  try {
    closeSync(fd);
    // Takes the lowest free number, which is this one.
    openSync('/dev/null', 'r+');
  } catch {
    // A descriptor that is closed is left alone as well.
  }
}
