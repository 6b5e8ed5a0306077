import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Longest path of a Unix socket (unix(7)) less the name in the folder. */
const FOLDER_CHARACTERS_MAX = 100;

/** A new folder of mode 0700 (mkdtemp(3)) whose path leaves room for a socket's name. */
export function privateFolder(): string {
  const wanted = join(tmpdir(), 'understudy-');
  return mkdtempSync(wanted.length < FOLDER_CHARACTERS_MAX ? wanted : '/tmp/understudy-');
}
