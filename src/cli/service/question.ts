// A question before something that cannot be undone, as `understudy copy` asks one.
import { createInterface } from 'node:readline/promises';
import { shown, UnderstudyError } from '../../base/mod.ts';
import { stderr } from '../output.ts';

/**
 * Shows what will be done and asks; returns when the answer is yes.
 * @param sure `--yes`: it is shown, and not asked @throws USAGE without a terminal and `--yes`, INTERRUPTED when the
 *   answer is no
 */
export async function confirm(lines: readonly string[], question: string, sure: boolean): Promise<void> {
  for (const line of lines) stderr.say(`${shown(line)}\n`);
  if (sure) return;
  if (!process.stdin.isTTY) throw new UnderstudyError('USAGE', 'there is no terminal to ask on; --yes answers yes');
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  // The end of the input is a no.
  const ended = new Promise<string>((resolve) => prompt.once('close', () => resolve('')));
  // A terminal in raw mode gives Ctrl-C as a character.
  prompt.once('SIGINT', () => prompt.close());
  try {
    const answer = await Promise.race([prompt.question(`${shown(question)} Type yes to do it: `), ended]);
    if (answer.trim() !== 'yes') throw new UnderstudyError('INTERRUPTED', 'nothing was done: the answer was not yes');
  } finally {
    prompt.close();
  }
}
