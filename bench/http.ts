// Images from a server: nginx on loopback, raw and xz, to one and to four targets, beside curl piped to dd and
// bmaptool.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatBytes, limits, runTool } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { type Contender, fileTargets, measure } from './rig/contender.ts';
import { writeRandomImage, writeSystemImage } from './rig/image.ts';
import { startNginx } from './rig/nginx.ts';
import { ours } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';
import { toolPeer } from './rig/peers.ts';

const COUNTS = [1, 4];
const SIZE_BYTES = limits.GIB;
const ROUNDS = 3;

/** What a shell does with an address, an image and a target; the warm-up reads a file. */
function piped(name: string, tools: readonly string[], script: string): Contender {
  return toolPeer({
    name,
    tools,
    versionOf: [tools[0] ?? 'sh', '--version'],
    commands: (job) => {
      const url = job.source.startsWith('/') ? `file://${job.source}` : job.source;
      return job.targets.map((target) => ['sh', '-c', script, 'sh', url, target]);
    },
  });
}

const DD = 'dd of="$2" bs=1M conv=notrunc iflag=fullblock status=none';
const RIVALS: Readonly<Record<'raw' | 'xz', readonly Contender[]>> = {
  raw: [
    piped('curl | dd x K', ['curl', 'dd'], `curl -sSf "$1" | ${DD}`),
    piped('bmaptool x K', ['bmaptool'], 'exec bmaptool -q copy --nobmap "$1" "$2"'),
  ],
  xz: [
    piped('curl | xz | dd x K', ['curl', 'xz', 'dd'], `curl -sSf "$1" | { xz -dc -T0 2>/dev/null || cat; } | ${DD}`),
    piped('bmaptool x K', ['bmaptool'], 'exec bmaptool -q copy --nobmap "$1" "$2"'),
  ],
};

const DECOMPRESSION = [
  'xz decompresses on several processors where the image was written in blocks (`xz --list` tells; `xz -T0` writes them so): Understudy ' +
    'runs `xz -dc -T0`, bmaptool `xz -d -c`, which uses one. The gzip, bzip2, zstd and lz4 of Debian decompress on one processor, whatever ' +
    'runs them.',
  'What bounds the copy of an .img.xz is the decompressor: one processor where the image is one block, all of them where it is in blocks; ' +
    'data that hardly compresses is bound by the disk. Beside bmaptool an image of one block therefore takes the same time for one target, and ' +
    'less for several, as it is decompressed once.',
];

export const http: Question = { name: 'http', run: runHttp };

async function runHttp(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const folder = join(workbench.folder, 'served');
  mkdirSync(folder);
  writeRandomImage(join(folder, 'image.img'), sizeBytes);
  await writeSystemImage(join(folder, 'system.img'), sizeBytes);
  const packed = await runTool('xz', ['-1', '-T0', join(folder, 'system.img')], { timeoutMs: 3_600_000 });
  if (packed.status !== 0) throw new Error(`xz: ${packed.stderr}`);
  const nginx = await startNginx(folder, folder);
  workbench.defer(() => nginx.stop());
  const tables: Table[] = [];
  const notes: string[] = [...DECOMPRESSION];
  for (const [kind, name] of [
    ['raw', 'image.img'],
    ['xz', 'system.img.xz'],
  ] as const) {
    const present = RIVALS[kind].filter((rival) => {
      const obstacle = rival.obstacle();
      if (obstacle !== null) notes.push(`${rival.name}: not measured, ${obstacle}`);
      return obstacle === null;
    });
    tables.push(await measureKind(bench, kind, `${nginx.url}/${name}`, sizeBytes, present));
  }
  return {
    name: 'http',
    title: 'From a server over HTTP',
    method:
      `An image of ${formatBytes(sizeBytes)} from nginx on loopback to K new files on a disk, in turn with each rival, which runs K ` +
      'times at once: raw, of random data; xz (-1 -T0, in blocks), a partition full of the files of /usr. The time ends when ' +
      'all is durable.',
    target: 'At most the time of the best rival for K = 1, and less for K = 4.',
    tables,
    notes,
  };
}

async function measureKind(
  bench: Bench,
  kind: 'raw' | 'xz',
  url: string,
  sizeBytes: number,
  rivals: readonly Contender[],
): Promise<Table> {
  const { options, workbench } = bench;
  const rows: string[][] = [];
  for (const count of options.counts ?? COUNTS) {
    const targets = fileTargets(workbench.folder, count, sizeBytes);
    const timed = async (contender: Contender): Promise<number> => {
      const { warmPrograms } = options;
      const common = { workbench, warmPrograms, source: url, sourceBytes: sizeBytes, targets, inMemory: false };
      return (await measure({ ...common, contender })).seconds;
    };
    for (const rival of rivals) {
      bench.say(`http: ${kind}, K = ${count}, beside ${rival.name}`);
      const runs = await alternate(
        options.rounds ?? ROUNDS,
        () => timed(ours()),
        () => timed(rival),
      );
      const itself = (seconds: number): number => seconds;
      const spreads = [formatSpread(spreadOf(runs.a)), formatSpread(spreadOf(runs.b))];
      rows.push([String(count), rival.name, ...spreads, formatSpread(ratiosOf(runs, itself, itself))]);
    }
  }
  return { heading: kind, columns: ['K', 'rival', 'understudy, s', 'rival, s', 'ratio'], rows };
}
