// Which signals ask a command to end: SIGINT, SIGTERM and SIGHUP, except those that whoever started us has ignored
// (nohup(1), `trap '' HUP`, env --ignore-signal, SIG_IGN in the program that starts us).
//
// Node.js sets every signal that was ignored back to its default when it starts, before any of our code runs, so it
// cannot be asked. The first line of the command is a shell's, which hears it and says it in an environment variable
// (scripts/bundle.mjs). Where Node.js was started directly, what nohup and shells leave behind is looked at.
import { fstatSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';

/** SigIgn of proc_pid_status(5), as the launcher found it. */
const VARIABLE = 'UNDERSTUDY_SIGNALS_IGNORED';
const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const O_ACCMODE = 0o3;
const O_WRONLY = 0o1;

let heard: readonly NodeJS.Signals[] | null = null;

/** Signals that end a command in good order; those that are to be ignored are from now on. */
export function endingSignals(): readonly NodeJS.Signals[] {
  if (heard === null) {
    const ignored = ignoredSignals();
    heard = ENDING.filter((signal) => !ignored.includes(signal));
    // Without a listener they would end us.
    for (const signal of ignored) process.on(signal, () => undefined);
  }
  return heard;
}

function ignoredSignals(): readonly NodeJS.Signals[] {
  const mask = process.env[VARIABLE];
  if (mask !== undefined && /^[0-9a-f]+$/i.test(mask)) return signalsOf(BigInt(`0x${mask}`));
  const ofParent = parentIgnores();
  return wasStartedByNohup() && !ofParent.includes('SIGHUP') ? [...ofParent, 'SIGHUP'] : ofParent;
}

/**
 * A shell without job control ignores SIGINT together with SIGQUIT for whatever it starts with `&` (POSIX, XCU 2.12),
 * and so does system(3) for itself: that keeps Ctrl-C away, and says nothing of a SIGINT that is sent to the copy.
 */
function signalsOf(mask: bigint): readonly NodeJS.Signals[] {
  const has = (signal: NodeJS.Signals): boolean => (mask & (1n << BigInt(constants.signals[signal] - 1))) !== 0n;
  return ENDING.filter((signal) => has(signal) && !(signal === 'SIGINT' && has('SIGQUIT')));
}

/**
 * A shell says in `_` what it started; nohup(1) gives a standard input that was a terminal a /dev/null that cannot be
 * read.
 */
function wasStartedByNohup(): boolean {
  if (/(^|\/)nohup$/.test(process.env._ ?? '')) return true;
  try {
    if (fstatSync(0).rdev !== statSync('/dev/null').rdev) return false;
    const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8'))?.[1] ?? '0';
    return (Number.parseInt(flags, 8) & O_ACCMODE) === O_WRONLY;
  } catch {
    // Without /proc nothing is known.
    return false;
  }
}

/**
 * A shell with `trap '' HUP` passes that on to what it starts; one that people type into ignores SIGTERM for itself
 * only.
 */
function parentIgnores(): readonly NodeJS.Signals[] {
  try {
    const mask = /^SigIgn:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${process.ppid}/status`, 'utf8'))?.[1];
    return mask === undefined ? [] : signalsOf(BigInt(`0x${mask}`)).filter((signal) => signal !== 'SIGTERM');
  } catch {
    // The parent has gone, or is hidden from us.
    return [];
  }
}
