// A program that uses the package as a library, as its users do: by its name. Arguments: source, target, and the number of
// progress events after which it aborts (0: never). Prints a line of JSON for each event, and one for the result.
import { type CopyProgress, copies, copy, UnderstudyError } from 'understudy';

const [source = '', target = '', abortAfter = '0'] = process.argv.slice(2);
const abort = new AbortController();
let moving = 0;

function onProgress(progress: CopyProgress): void {
  process.stdout.write(`${JSON.stringify({ progress, running: copies().length })}\n`);
  if (progress.targets.some(({ state }) => state === 'copying')) moving += 1;
  if (abortAfter !== '0' && moving === Number(abortAfter)) abort.abort();
}

try {
  const result = await copy({
    source,
    targets: [target],
    blockBytes: 64 * 1024,
    bufferBytes: 512 * 1024,
    limitRate: 4 * 1024 * 1024,
    signal: abort.signal,
    onProgress,
  });
  process.stdout.write(`${JSON.stringify({ result })}\n`);
} catch (error) {
  const code = UnderstudyError.name === 'UnderstudyError' && error instanceof UnderstudyError ? error.code : 'unknown';
  process.stdout.write(`${JSON.stringify({ thrown: code })}\n`);
}
