// Names on the command line that are not UTF-8. Node.js has turned their odd bytes into U+FFFD before any of our code runs, so that they
// name something else; the kernel still has them as they were given.
import { readFileSync, readlinkSync } from 'node:fs';
import { shown, UnderstudyError } from '../base/mod.ts';

const REPLACEMENT = '\ufffd';

/** @throws USAGE */
export function refuseUnreadableNames(argv: readonly string[]): void {
  const suspect = argv.slice(2).some((word) => word.includes(REPLACEMENT));
  const name = suspect ? firstUnreadable(argv.length - 2) : null;
  if (name !== null) {
    throw new UnderstudyError(
      'USAGE',
      `the name "${name}" is not UTF-8, and such names are not supported: ` +
        'reach a source through a symbolic link with another name, copy to another name and rename the target',
    );
  }
}

/** A relative name is looked for in the working directory, whose own name Node.js decodes in the same way. @throws USAGE */
export function refuseUnreadableFolder(names: readonly string[]): void {
  const relative = names.find((name) => !name.startsWith('/') && !name.includes(':') && name !== '-');
  if (relative === undefined || !process.cwd().includes(REPLACEMENT)) return;
  const folder = readlinkSync('/proc/self/cwd', 'buffer');
  if (Buffer.from(folder.toString('utf8')).equals(folder)) return;
  throw new UnderstudyError(
    'USAGE',
    `${relative} is in a directory whose name is not UTF-8 ("${written(folder)}"), and such names are not supported: ` +
      'reach the directory through a symbolic link with another name',
  );
}

function firstUnreadable(count: number): string | null {
  // proc_pid_cmdline(5): the arguments, each with a null byte behind it.
  const line = readFileSync('/proc/self/cmdline').subarray(0, -1);
  const words: Buffer[] = [];
  for (let from = 0; from <= line.length; ) {
    const end = line.indexOf(0, from);
    words.push(line.subarray(from, end === -1 ? line.length : end));
    from = end === -1 ? line.length + 1 : end + 1;
  }
  const odd = words.slice(-count).find((word) => !Buffer.from(word.toString('utf8')).equals(word));
  return odd === undefined ? null : written(odd);
}

/** The bytes that are no UTF-8 as "\xe9", the others as they are. */
function written(name: Buffer): string {
  let text = '';
  for (let at = 0; at < name.length; ) {
    const length = [1, 2, 3, 4].find((bytes) => {
      const piece = name.subarray(at, at + bytes);
      return piece.length === bytes && Buffer.from(piece.toString('utf8')).equals(piece);
    });
    text +=
      length === undefined
        ? `\\x${(name[at] ?? 0).toString(16).padStart(2, '0')}`
        : shown(name.toString('utf8', at, at + length));
    at += length ?? 1;
  }
  return text;
}
