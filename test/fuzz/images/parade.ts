// All images, one after the other, through every command that reads images.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { patience } from '../../rig/patience.ts';
import { Finding, type Tally } from '../fuzz.ts';
import { Corpus, type HostileImage } from './corpus.ts';
import { Bystander, type Command, tryImage } from './try.ts';

const WANTED = process.env.UNDERSTUDY_IMAGES_SEED ?? '21';
export const SEED = WANTED === 'new' ? Date.now() % 1_000_000 : Number(WANTED);
const EVERY_DAY = 36;
export const IMAGES = Number(process.env.UNDERSTUDY_IMAGES ?? EVERY_DAY);
/** The one image to try, of the number that a finding names. */
const ONLY = process.env.UNDERSTUDY_IMAGE;

/** For the time-out of a test: what is asked for takes as long as it takes. */
export const PARADE_MS_MAX = IMAGES > EVERY_DAY ? 2 ** 31 - 1 : patience(300_000);

const AT_ONCE = 2;
/** Larger ones are not copied: it is the readers that are tried, not the disk. */
const COPIED_BYTES_MAX = 128 * 1024 * 1024;

const SPARE = `hostName: spare1
domain: example.org
interfaces:
  - name: eth0
    mac: 52:54:00:00:00:12
    addresses: [10.0.0.12/24]
    gateway: 10.0.0.1
`;

interface Wanted {
  /** The file that says as whom to personalise. */
  readonly spare: string;
  /** Every command for every image. */
  readonly all: boolean;
}

/** @param numbers of images, from 0 on @throws Finding that names seed and number */
export async function parade(program: readonly string[], numbers: number, seed = SEED): Promise<Tally> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-images-'));
  const bystander = new Bystander(folder);
  const corpus = new Corpus(folder, bystander.secretFile);
  const spare = join(folder, 'spare1.yaml');
  writeFileSync(spare, SPARE);
  const tally = new Map<string, number>();
  let next = ONLY === undefined ? 0 : Number(ONLY);
  const end = ONLY === undefined ? numbers : next + 1;
  const play = async (): Promise<void> => {
    for (let number = next++; number < end; number = next++) {
      const image = corpus.image(number, seed);
      try {
        for (const command of commandsFor(image, number, { spare, all: numbers > EVERY_DAY })) {
          const word = `${command.name} ${await tryImage(program, command, image, bystander)}`;
          tally.set(word, (tally.get(word) ?? 0) + 1);
        }
      } catch (error) {
        // The others need not begin.
        next = end;
        const place = `UNDERSTUDY_IMAGES_SEED=${seed} UNDERSTUDY_IMAGE=${number}`;
        throw error instanceof Finding ? new Finding(`${error.message} (${place})`) : error;
      } finally {
        corpus.remove(image);
        rmSync(`${image.path}.copy`, { force: true });
      }
    }
  };
  try {
    const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, play));
    for (const one of ends) if (one.status === 'rejected') throw one.reason;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const shown = [...tally].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, count]) => `${name} ${count}`);
  process.stderr.write(`images: ${numbers} of seed ${seed}: ${shown.join(', ')}\n`);
  return tally;
}

/**
 * Every third image is personalised in earnest, which changes it, and comes last. The share of every day has one of the
 * commands that read files for each image, and looks for what is used where the structures are spoilt.
 */
function commandsFor({ path, spoilt }: HostileImage, number: number, { spare, all }: Wanted): Command[] {
  const apply = number % 3 === 0;
  const onlyInspect = !all && !apply && Math.floor(number / 3) % 2 === 0;
  const commands: Command[] = [];
  if (all || onlyInspect) commands.push({ name: 'inspect', args: ['inspect', path, '--json'], changes: false });
  if ((all || spoilt) && statSync(path).size <= COPIED_BYTES_MAX) {
    const args = ['copy', path, `${path}.copy`, '--extent', 'used', '--yes', '--json', '--quiet'];
    commands.push({ name: 'copy', args, changes: false });
  }
  if (onlyInspect) return commands;
  const args = ['personalise', path, '--as', spare, '--json', ...(apply ? ['--apply'] : [])];
  commands.push({ name: apply ? 'apply' : 'personalise', args, changes: apply });
  return commands;
}
