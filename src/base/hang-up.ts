// Which signals ask a command to end. SIGHUP is one of them unless whoever started us has it ignored (nohup(1), `trap '' HUP`).
//
// Node.js sets every signal that was ignored back to its default when it starts, before any of our code runs, so it cannot be
// asked. The first line of the command is a shell's, which hears it and says it in an environment variable (scripts/bundle.mjs). Where
// Node.js was started directly, what nohup and shells leave behind is looked at.
import { fstatSync, readFileSync, statSync } from 'node:fs';

/** SigIgn of proc_pid_status(5), as the launcher found it. */
const VARIABLE = 'UNDERSTUDY_SIGNALS_IGNORED';
const SIGHUP_BIT = 1n;
const O_ACCMODE = 0o3;
const O_WRONLY = 0o1;

let ignored: boolean | null = null;

/** Signals that end a command in good order; a SIGHUP that is to be ignored is from now on. */
export function endingSignals(): readonly NodeJS.Signals[] {
  if (ignored === null) {
    ignored = isHangUpIgnored();
    // Without a listener it would end us.
    if (ignored) process.on('SIGHUP', () => undefined);
  }
  return ignored ? ['SIGINT', 'SIGTERM'] : ['SIGINT', 'SIGTERM', 'SIGHUP'];
}

function isHangUpIgnored(): boolean {
  const mask = process.env[VARIABLE];
  if (mask !== undefined && /^[0-9a-f]+$/i.test(mask)) return (BigInt(`0x${mask}`) & SIGHUP_BIT) !== 0n;
  return wasStartedByNohup() || parentIgnores();
}

/** A shell says in `_` what it started; nohup(1) gives a standard input that was a terminal a /dev/null that cannot be read. */
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

/** A shell with `trap '' HUP` passes that on to what it starts. */
function parentIgnores(): boolean {
  try {
    const mask = /^SigIgn:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${process.ppid}/status`, 'utf8'))?.[1];
    return mask !== undefined && (BigInt(`0x${mask}`) & SIGHUP_BIT) !== 0n;
  } catch {
    // The parent has gone, or is hidden from us.
    return false;
  }
}
