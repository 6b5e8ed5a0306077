// Goal: the parade of images sees what it is there for. Method: programs in place of the command that do one thing
// wrong, each found at the first image or soon after.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PARADE_MS_MAX, parade } from './parade.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-images-canary-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const GOOD = '{"ok":false,"error":{"code":"IMAGE_UNSUPPORTED","message":"no"}}';
const REFUSED = `echo '${GOOD}'; exit 3`;

/** What a program does with the image, which is its second argument. */
const CANARIES: readonly (readonly [string, string, RegExp])[] = [
  ['ends by a signal', 'kill -ABRT $$', /ends with SIGABRT/],
  ['shows a stack', `echo 'Error: no\n    at read (/srv/a.js:1:2)' >&2; ${REFUSED}`, /shows a stack/],
  ['fails without a code', 'exit 1', /no error as JSON/],
  ['fails with another status', `echo '${GOOD}'; exit 4`, /status 4 instead of 3/],
  ['fails with a code of nobody', `echo '{"ok":false,"error":{"code":"INTERNAL"}}'; exit 1`, /fails with INTERNAL/],
  ['writes into the image', `printf x | dd of="$2" conv=notrunc status=none; ${REFUSED}`, /changed the image/],
  ['writes beside it', `echo x >> "$(dirname "$2")/../outside/secret"; ${REFUSED}`, /changed files outside/],
  ['shows what is beside it', `head -n 1 "$(dirname "$2")/../outside/secret"; ${REFUSED}`, /shows a file outside/],
  ['leaves a file', `echo x > "$TMPDIR/left"; ${REFUSED}`, /leaves left behind/],
  ['leaves a process', `(sleep 600 >&- 2>&- &) ; ${REFUSED}`, /leaves processes behind: sleep 600/],
  [
    'takes too much memory',
    `${process.execPath} -e 'const a = Buffer.alloc(1.6e9, 1); setTimeout(() => a, 3000)'; ${REFUSED}`,
    /bytes of memory/,
  ],
];

describe('images - every day finds a program that', () => {
  test.each(CANARIES)(
    '%s',
    async (_, script, finding) => {
      const program = join(folder, 'program');
      writeFileSync(program, `#!/bin/bash\n${script}\n`);
      chmodSync(program, 0o755);
      await expect(parade([program], 4, 21)).rejects.toThrow(finding);
    },
    PARADE_MS_MAX,
  );
});
