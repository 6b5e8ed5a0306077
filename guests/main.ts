// `npm run guests`: builds the guests if they are not in the cache, and prints where they are, as JSON.
import { messageOf } from '../src/base/mod.ts';
import { buildGuests } from './build.ts';

async function main(): Promise<void> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => abort.abort(new Error(`stopped by ${signal}`)));
  }
  const report = (line: string): void => void process.stderr.write(`${line}\n`);
  process.stdout.write(`${JSON.stringify(await buildGuests({ report, abort: abort.signal }), null, 2)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`guests: ${messageOf(error)}\n`);
  process.exitCode = 1;
});
