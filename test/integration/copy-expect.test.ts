// A published digest may be that of the image or of the file that it is stored in, and may lie in a file beside it.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const MIB = 1024 * 1024;
const WRONG = 'ab'.repeat(32);

interface Published {
  readonly image: { readonly path: string; readonly content: Buffer };
  /** By name of the file: what is published of it. */
  readonly digests: ReadonlyMap<string, string>;
}

function hexOf(stage: Stage, path: string): string {
  return stage.tool('sha256sum', 'coreutils', [path]).slice(0, 64);
}

const FORMS: Readonly<Record<string, readonly [string, string, readonly string[]]>> = {
  'golden.img.xz': ['xz', 'xz-utils', ['-0', '-k', 'golden.img']],
  'golden.img.gz': ['gzip', 'gzip', ['-1', '-k', 'golden.img']],
  'golden.img.zip': ['zip', 'zip', ['-q', '-1', 'golden.img.zip', 'golden.img']],
  'golden.qcow2': ['qemu-img', 'qemu-utils', ['convert', '-O', 'qcow2', 'golden.img', 'golden.qcow2']],
};

/** golden.img, and it in another form. */
function publish(stage: Stage, name: string): Published {
  const image = stage.image('golden.img', 3 * MIB);
  const form = FORMS[name];
  if (form !== undefined) {
    const [tool, debianPackage, args] = form;
    stage.tool(
      tool,
      debianPackage,
      args.map((word) => (word.startsWith('golden') ? stage.path(word) : word)),
    );
  }
  const names = [...new Set(['golden.img', name])];
  return { image, digests: new Map(names.map((one) => [one, hexOf(stage, stage.path(one))])) };
}

test.concurrent.each(['golden.img', 'golden.img.xz', 'golden.img.gz', 'golden.qcow2'])(
  'expect - %s: the digest of either',
  (name) =>
    onStage(async (stage) => {
      const { image, digests } = publish(stage, name);
      const own = createHash('sha256').update(image.content).digest('hex');
      for (const [index, hex] of [own, digests.get(name)].entries()) {
        const result = await stage
          .copyJson('--expect', `sha256:${hex}`, stage.path(name), stage.target(`${index}`), stage.target(`${index}b`))
          .good();
        // What is reported is the digest of the image.
        expect(result.digest).toBe(`sha256:${own}`);
        expect(stage.difference(`${index}b`, image.content)).toBe(null);
      }
      const copy = stage.copyJson('--expect', `sha256:${WRONG}`, stage.path(name), stage.target('c'));
      const stored = name === 'golden.img' ? '' : `, the file .*${name} has sha256:${digests.get(name)}`;
      await expectFailure(
        copy,
        'DIGEST_MISMATCH',
        new RegExp(`the image has sha256:${own}${stored}, but sha256:${WRONG} was expected`),
      );
      expect(stage.targets).not.toContain('c');
    }),
);

test.concurrent.each<[string, (digests: ReadonlyMap<string, string>) => string]>([
  ['of all files', (digests) => Array.from(digests, ([name, hex]) => `${hex}  ${name}\n`).join('')],
  ['of the image only', (digests) => `SHA256 (golden.img) = ${digests.get('golden.img')}\n`],
  ['of one digest', (digests) => `${digests.get('golden.img.xz')}\n`],
])('expect - a file %s', (_, text) =>
  onStage(async (stage) => {
    const { image, digests } = publish(stage, 'golden.img.xz');
    writeFileSync(stage.path('SHA256SUMS'), text(digests));
    const args = ['--expect-file', stage.path('SHA256SUMS'), stage.path('golden.img.xz')];
    await stage.copyJson(...args, stage.target('a'), stage.target('b')).good();
    expect(stage.difference('b', image.content)).toBe(null);
    writeFileSync(stage.path('SHA256SUMS'), text(digests).replaceAll(/[0-9a-f]{64}/g, 'ab'.repeat(32)));
    await expectFailure(
      stage.copyJson(...args, stage.target('c')),
      'DIGEST_MISMATCH',
      /but sha256:abab[0-9a-f]* was expected/,
    );
  }),
);

// A pipe with all of it in its first bytes, and ones of which most comes later; a file that the shell opened.
test.concurrent.each<[string, string]>([
  ['golden.img.xz', 'cat "$FILE" | "$@"'],
  ['golden.img.gz', '(head -c 1000 "$FILE"; sleep 0.1; tail -c +1001 "$FILE") | "$@"'],
  ['golden.img.zip', 'cat "$FILE" | "$@"'],
  ['golden.img', 'cat "$FILE" | "$@"'],
  ['small.img.gz', 'cat "$FILE" | "$@"'],
  ['golden.img.gz', '"$@" <"$FILE"'],
])('expect - standard input, %s by %s: the digest of either', (name, script) =>
  onStage(async (stage) => {
    const { content } = name.startsWith('small') ? stage.image('small.img', 64 * 1024) : publish(stage, name).image;
    if (name.startsWith('small')) stage.tool('gzip', 'gzip', ['-k', stage.path('small.img')]);
    const own = createHash('sha256').update(content).digest('hex');
    const stored = hexOf(stage, stage.path(name));
    const copy = (expect: string, target: string) =>
      stage.copy(['--json', '--expect', `sha256:${expect}`, '-', stage.target(target)], {
        wrap: ['sh', '-c', script, 'sh'],
        env: { FILE: stage.path(name) },
      });
    for (const [index, hex] of [own, stored].entries()) {
      await copy(hex, `${index}`).good();
      expect(stage.difference(`${index}`, content)).toBe(null);
    }
    const told = name === 'golden.img' ? '' : `, standard input has sha256:${stored}`;
    const words = new RegExp(`the image has sha256:${own}${told}, but sha256:${WRONG} was expected`);
    await expectFailure(copy(WRONG, 'c'), 'DIGEST_MISMATCH', words);
    expect(stage.targets).toEqual(['0', '1']);
  }),
);

test.concurrent('expect - a file that names no digest of the source is refused before anything is written', () =>
  onStage(async (stage) => {
    const { digests } = publish(stage, 'golden.img.xz');
    writeFileSync(stage.path('SHA256SUMS'), `${digests.get('golden.img')}  other.img\n`);
    const copy = stage.copy([
      '--expect-file',
      stage.path('SHA256SUMS'),
      stage.path('golden.img.xz'),
      stage.target('a'),
    ]);
    await expectFailure(copy, 'DIGEST_FILE_INVALID', /has no digest for golden\.img\.xz, only for other\.img/);
    expect(stage.targets).toEqual([]);
  }));

test.concurrent('expect - the advice fits the error', () =>
  onStage(async (stage) => {
    const { image } = publish(stage, 'golden.img.xz');
    const shape = ['--block-size', '64K'];
    const copy = stage.copy([...shape, '--expect', `sha256:${'ab'.repeat(32)}`, image.path, stage.target('a')]);
    await copy.ended;
    expect(copy.stderr).toMatch(
      /\(DIGEST_MISMATCH\); do not use the target; check the digest, or get the image again\n$/,
    );
    const cut = stage.path('cut.img.xz');
    writeFileSync(cut, '');
    stage.tool('sh', 'dash', ['-c', `head -c 2000000 '${stage.path('golden.img.xz')}' >'${cut}'`]);
    const broken = stage.copy([...shape, '--format', 'xz', cut, stage.target('b')]);
    await broken.ended;
    expect(broken.stderr).toMatch(/\(SOURCE_CORRUPT\); get the image again, and copy without --resume\n$/);
    const resumable = (await stage.copyJson(...shape, '--format', 'xz', cut, stage.target('d')).result()).targets[0];
    expect(resumable).toMatchObject({ resumable: false, error: { code: 'SOURCE_CORRUPT' } });
  }));
