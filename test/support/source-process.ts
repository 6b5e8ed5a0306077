// A process that does what a producer does with a source: argv[2] is { source options, offsets to read, hold }. Prints one
// line of JSON when it has read; with `hold` it then waits to be killed, with the source prepared and open.
import { codeOf, messageOf } from '../../src/base/mod.ts';
import { identifySource, prepareSource, type SourceOptions } from '../../src/replication/source/mod.ts';
import { SourceClient } from './source-client.ts';

export interface ProcessTask {
  readonly source: SourceOptions;
  readonly offsets: readonly number[];
  readonly hold: boolean;
}

export interface ProcessReport {
  readonly code: string | null;
  readonly message: string;
  readonly identity: string;
  readonly access: string;
  readonly helperPids: readonly number[];
  /** Base64 and code of each read. */
  readonly reads: readonly { readonly bytes: string; readonly code: string | null }[];
}

async function main(task: ProcessTask): Promise<void> {
  const source = await identifySource(task.source);
  const prepared = await prepareSource(source);
  const client = await SourceClient.open(prepared.descriptor);
  const reads: { bytes: string; code: string | null }[] = [];
  for (const offset of task.offsets) {
    const { bytes, code } = await client.read(offset);
    reads.push({ bytes: Buffer.from(bytes).toString('base64'), code });
  }
  const { identity } = source;
  const { access } = client.info;
  print({ code: null, message: '', identity, access, helperPids: prepared.helperPids, reads });
  if (task.hold) return;
  await client.close();
  await prepared.close();
}

function print(report: ProcessReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

try {
  await main(JSON.parse(process.argv[2] ?? '') as ProcessTask);
} catch (error) {
  const code = codeOf(error);
  print({ code, message: messageOf(error), identity: '', access: '', helperPids: [], reads: [] });
}
