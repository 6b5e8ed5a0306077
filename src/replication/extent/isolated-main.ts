// The process that looks for file systems in a source: one question on its standard input, one answer on its standard
// output. Started by isolated.ts in a sandbox.
import { codeOf, messageOf } from '../../base/mod.ts';
import { type ExtentAnswer, type ExtentQuestion, READY } from './protocol.ts';
import { resolveExtent } from './resolve.ts';

async function answerTo({ request, view, path }: ExtentQuestion): Promise<ExtentAnswer> {
  process.env.PATH = path;
  try {
    return { extent: await resolveExtent(request, view) };
  } catch (error) {
    return { failed: { code: codeOf(error) ?? '', message: messageOf(error) } };
  }
}

async function main(): Promise<void> {
  process.stdout.write(READY);
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  const answer = await answerTo(JSON.parse(Buffer.concat(pieces).toString()) as ExtentQuestion);
  process.stdout.write(JSON.stringify(answer));
}

void main();
