// Writes docs/errors.md from the registry: `npm run docs:errors`. A test compares the page with what this would write.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EXIT_INTERNAL, errorRegistry } from '../src/base/mod.ts';

const RETRY_MEANING = {
  never: 'the same call can only fail again',
  backoff: 'the same call may succeed later; wait longer each time',
  'after-change': 'the same call may succeed once somebody has changed something',
} as const;

const EXIT_MEANING: Readonly<Record<number, string>> = {
  2: 'the command line, the configuration or a name in it is wrong',
  3: 'the source',
  4: 'a target',
  5: 'data are not what they must be',
  6: 'resuming',
  7: 'this machine lacks something, or a process failed',
  8: 'the state of the installation does not allow it',
  9: 'a part of the installation failed or did not answer',
  10: 'the interface of the controller',
  130: 'interrupted',
};

/** The whole page, as it must be in docs/errors.md. */
export function errorsPage(): string {
  const rows = Object.entries(errorRegistry).map(
    ([code, { exit, http, retry, meaning }]) => `| \`${code}\` | ${exit} | ${http} | ${retry} | ${meaning} |`,
  );
  const exits = Object.entries(EXIT_MEANING).map(([exit, meaning]) => `| ${exit} | ${meaning} |`);
  return [
    '# Errors',
    '',
    'Made by `npm run docs:errors` from `src/base/errors.ts`; do not edit by hand.',
    '',
    'Every operating failure has a code. Codes are stable: match by code, never by message. `understudy copy --json` reports the',
    'code of each failed target; the errors that the library throws have it as `code`.',
    '',
    '| code | exit status | HTTP status | retry | meaning |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    'Values of `retry`:',
    '',
    ...Object.entries(RETRY_MEANING).map(([retry, meaning]) => `- \`${retry}\`: ${meaning}.`),
    '',
    '## Exit statuses',
    '',
    '| exit status | subject |',
    '| --- | --- |',
    '| 0 | everything requested is complete |',
    `| ${EXIT_INTERNAL} | a defect of the program; please report it |`,
    ...exits,
    '',
  ].join('\n');
}

const [, script, output] = process.argv;
if (script === fileURLToPath(import.meta.url) && output !== undefined) writeFileSync(output, errorsPage());
