// Copies from a server that drops, lies, stalls, redirects, swaps the file, truncates and sends garbage: each is right byte
// for byte, or refused by name. `npm run proof:http` makes 500 from a new seed; here every kind has its turn once, from a
// fixed one.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isErrorCode } from '../../src/base/mod.ts';
import { patchwork } from '../rig/content.ts';
import { failureOf } from '../rig/failure.ts';
import { FORMATS, type Round, roundOf } from '../rig/hostile-plan.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { MISCHIEFS, startHostile } from '../support/hostile-web.ts';

const KIB = 1024;
const PLAYERS = 4;
const COPIES = Number(process.env.UNDERSTUDY_HTTP_COPIES ?? MISCHIEFS.length);
const SEED = seedOf(process.env.UNDERSTUDY_HTTP_SEED ?? '1');

function seedOf(text: string): number {
  return text === 'new' ? Date.now() % 1_000_000 : Number(text);
}

/** Both moments of the file, in each format; equally long where the format allows. */
function filesOf(stage: Stage): Map<string, [Buffer, Buffer]> {
  const images = [
    patchwork(1, 256 * KIB, '#..#####.###...########.##'),
    patchwork(2, 256 * KIB, '###.####..#############..#'),
  ];
  const files = new Map<string, [Buffer, Buffer]>();
  for (const format of FORMATS) {
    const pair = images.map((content, index) => {
      const name = `${index}.img`;
      const { path } = stage.write(name, content);
      if (format === 'raw') return content;
      if (format === 'qcow2') {
        stage.tool('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', 'qcow2', path, stage.path('q')]);
        return readFileSync(stage.path('q'));
      }
      stage.tool(format === 'xz' ? 'xz' : 'gzip', 'xz-utils', ['-1', '-k', '-f', path]);
      return readFileSync(`${path}.${format === 'xz' ? 'xz' : 'gz'}`);
    });
    files.set(format, pair as [Buffer, Buffer]);
  }
  return files;
}

/** What went wrong with a round, or null; `done` is told what the server did. */
async function play(
  stage: Stage,
  index: number,
  round: Round,
  files: Map<string, [Buffer, Buffer]>,
  done: Set<string>,
): Promise<string | null> {
  const [first, second] = files.get(round.format) as [Buffer, Buffer];
  const [image, other] = files.get('raw') as [Buffer, Buffer];
  const server = await startHostile(round.plan, first, second);
  try {
    const digest = `sha256:${createHash('sha256').update(image).digest('hex')}`;
    const target = stage.target(`${index}.img`);
    const args = ['--json', '--quiet', '--block-size', '1M', ...(round.needsDigest ? ['--expect', digest] : [])];
    const copy = stage.run(['copy', ...args, `${server.url}/disk`, target], {
      env: { UNDERSTUDY_HTTP_TIMEOUT_MS: '1500' },
    });
    const { status } = await copy.ended;
    for (const kind of server.done) done.add(kind);
    if (status === 0) {
      const content = readFileSync(target);
      rmSync(target);
      const right = content.equals(image) || (content.equals(other) && !round.needsDigest);
      done.add('copied');
      return right ? null : `status 0, and byte ${content.findIndex((byte, at) => byte !== image[at])} is wrong`;
    }
    done.add('refused');
    rmSync(`${target}.partial`, { force: true });
    rmSync(`${target}.partial.resume`, { force: true });
    const failure = await failureOf(copy);
    if (!isErrorCode(failure.code)) return `no code: ${failure.code} ${failure.message}`;
    const names = failure.code === 'DIGEST_MISMATCH' || failure.message.includes(server.url);
    if (!names || /socket|\.sock|\/proc\/|nbd/i.test(failure.message))
      return `does not name the URL: ${failure.message}`;
    return round.mustSucceed ? `refused: ${failure.code} ${failure.message}` : null;
  } finally {
    await server.close();
  }
}

test(
  'http - what a hostile server gives is copied right, or refused by name',
  { timeout: 60_000 + COPIES * 20_000 },
  () =>
    onStage(async (stage) => {
      process.stderr.write(`hostile server: ${COPIES} copies from UNDERSTUDY_HTTP_SEED=${SEED}\n`);
      const files = filesOf(stage);
      const done = new Set<string>();
      const problems: string[] = [];
      let next = 0;
      // Most of a round is waiting for a server that says nothing.
      const player = async (): Promise<void> => {
        for (let index = next++; index < COPIES; index = next++) {
          const round = roundOf(SEED, index);
          const problem = await play(stage, index, round, files, done);
          if (problem !== null) problems.push(`round ${index}, ${round.kind}: ${problem}\n  ${JSON.stringify(round)}`);
        }
      };
      await Promise.all(Array.from({ length: PLAYERS }, player));
      expect(problems).toEqual([]);
      // A kind that never came to be proves nothing.
      expect([...done].sort()).toEqual([...MISCHIEFS, 'copied', 'refused'].sort());
    }),
);
