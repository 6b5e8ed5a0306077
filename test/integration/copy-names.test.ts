// One storage, many names: whoever names the same file or device in another way joins the same copy.
import { linkSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import type { CopyProcess } from '../rig/copy-process.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const MIB = 1024 * 1024;

async function allInOne(stage: Stage, copies: readonly CopyProcess[]): Promise<void> {
  const { producerPid } = await stage.sees('all have joined', ({ consumers }) => consumers.length === copies.length);
  expect(await stage.copies()).toHaveLength(1);
  expect(stage.producers.map(({ pid }) => pid)).toEqual([producerPid]);
  for (const copy of copies) await copy.good();
}

test.concurrent('names - path, relative path, symbolic link, hard link and file: URI are one source', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB);
    const links = stage.path('links');
    mkdirSync(links);
    symlinkSync('../golden.img', `${links}/symbolic`);
    linkSync(image.path, `${links}/hard`);
    const names = [
      image.path,
      relative(stage.out, image.path),
      `${links}/symbolic`,
      `${links}/hard`,
      pathToFileURL(image.path).href,
    ];
    const copies = names.map((name, index) =>
      stage.copy(['--json', '--quiet', '--limit', '1M', '--block-size', '64K', name, stage.target(`t${index}`)], {
        cwd: stage.out,
      }),
    );
    await allInOne(stage, copies);
    for (const name of stage.targets) expect(stage.difference(name, image.content)).toBe(null);
    expect(stage.targets).toHaveLength(5);
  }));

test.concurrent('names - a device and another node of the same device are one source', () =>
  onStage(async (stage) => {
    const image = stage.image('disk', 6 * MIB);
    const device = stage.loop(image.path);
    const alias = stage.path('alias');
    const { rdev } = statSync(device);
    stage.tool('mknod', 'coreutils', [alias, 'b', String(rdev >> 8), String(rdev & 255)]);
    const copies = [device, alias].map((name, index) =>
      stage.copyJson('--limit', '1M', '--block-size', '64K', name, stage.target(`t${index}`)),
    );
    await allInOne(stage, copies);
    for (const name of stage.targets) expect(stage.difference(name, image.content)).toBe(null);
  }));

test.concurrent('names - another source has a producer of its own', () =>
  onStage(async (stage) => {
    const one = stage.image('one.img', 3 * MIB, 1);
    const two = stage.image('two.img', 3 * MIB, 2);
    const copies = [one, two].map(({ path }, index) =>
      stage.copyJson('--limit', '1M', '--block-size', '64K', path, stage.target(`t${index}`)),
    );
    await stage.sees('the first', ({ consumers }) => consumers.length === 1);
    for (const copy of copies) await copy.good();
    expect(stage.difference('t0', one.content)).toBe(null);
    expect(stage.difference('t1', two.content)).toBe(null);
  }));
