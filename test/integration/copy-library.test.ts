// The engine as a library: `import { copy } from 'understudy'`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import type { CopyProgress, CopyResult } from '../../src/replication/mod.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const MIB = 1024 * 1024;
const PROGRAM = resolve('dist/test/rig/library-user.js');

interface Line {
  readonly progress?: CopyProgress;
  readonly running?: number;
  readonly result?: CopyResult;
  readonly thrown?: string;
}

async function use(stage: Stage, ...args: readonly string[]): Promise<readonly Line[]> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: stage.env, stdio: ['ignore', 'pipe', 'inherit'] });
  const pieces: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
  const [status] = (await once(child, 'close')) as [number | null];
  expect(status).toBe(0);
  const lines = Buffer.concat(pieces).toString().trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Line);
}

test('library - copy() gives progress and a result', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const lines = await use(stage, image.path, stage.target('a'));
    const { result } = lines.at(-1) ?? {};
    expect(result).toMatchObject({ ok: true, source: { uri: image.path, bytes: 4 * MIB, blockSize: 65536 } });
    expect(stage.difference('a', image.content)).toBe(null);
    const progress = lines.flatMap((line) => (line.progress === undefined ? [] : [line.progress]));
    expect(progress.length).toBeGreaterThan(2);
    expect(progress.at(-1)?.targets).toMatchObject([{ uri: stage.target('a'), state: 'done', blocksLeft: 0 }]);
    const lefts = progress
      .filter(({ targets }) => targets[0]?.state === 'copying')
      .map(({ targets }) => targets[0]?.blocksLeft ?? 0);
    expect(lefts).toEqual([...lefts].sort((a, b) => b - a));
    expect(lines.some(({ running }) => running === 1)).toBe(true);
  }));

test('library - an AbortSignal stops the copy, which can be resumed', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const lines = await use(stage, image.path, stage.target('a'), '3');
    const [target] = lines.at(-1)?.result?.targets ?? [];
    expect(target).toMatchObject({ ok: false, resumable: true, error: { code: 'INTERRUPTED' } });
    const resumed = await stage.copyJson('--resume', '--block-size', '64K', image.path, stage.target('a')).good();
    expect(resumed.bytesReused).toBeGreaterThan(0);
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test('library - what concerns the whole request is thrown with its code', () =>
  onStage(async (stage) => {
    expect(await use(stage, stage.path('missing.img'), stage.target('a'))).toEqual([{ thrown: 'SOURCE_NOT_FOUND' }]);
  }));
