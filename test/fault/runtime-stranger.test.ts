// Names in folders that everybody may write, taken beforehand by another user: copies of this user find each other all
// the same.
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ownFolder } from '../../src/base/mod.ts';
import { CopyProcess } from '../rig/copy-process.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { asStranger, STRANGER, sharedFolder } from '../rig/stranger.ts';
import { eventually } from '../rig/wait.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--json', '--quiet', '--block-size', '64K', '--buffer', '512K'];

/** A view of the machine with a /dev/shm and a /run of its own; what is in front of a program that runs in it. */
async function ownMemory(stage: Stage, setup: string): Promise<readonly string[]> {
  const script = `mount -t tmpfs -o mode=1777 shm /dev/shm; mount -t tmpfs -o mode=755 run /run; ${setup}; echo; exec sleep infinity`;
  const holder = spawn('unshare', ['--mount', '--propagation=private', 'sh', '-euc', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  stage.defer(() => void holder.kill('SIGKILL'));
  await new Promise((resolve, reject) => {
    holder.stdout?.once('data', resolve);
    holder.once('exit', () => reject(new Error('no view of its own')));
  });
  return ['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`, 'env', '-u', 'UNDERSTUDY_RUNTIME_DIR'];
}

const AS_STRANGER = `setpriv --reuid=${STRANGER} --regid=${STRANGER} --clear-groups`;

test.each(['mkdir -m 777 /dev/shm/understudy-0', 'touch /dev/shm/understudy-0', 'ln -s /etc /dev/shm/understudy-0'])(
  'runtime folder - made beforehand by another user: %s',
  (deed) =>
    onStage(async (stage) => {
      const wrap = await ownMemory(stage, `${AS_STRANGER} ${deed}`);
      const image = stage.image('golden.img', 4 * MIB);
      const first = stage.copy([...SHAPE, '--limit', '1M', image.path, stage.target('a')], { wrap });
      const seen = (consumers: number): Promise<boolean> =>
        eventually(`${consumers} targets of one reading`, async () => {
          const look = new CopyProcess(['copies', '--json'], stage.env, { wrap });
          await look.ended;
          const [running] = JSON.parse(look.stdout) as { consumers: unknown[] }[];
          return running?.consumers.length === consumers;
        });
      await seen(1);
      const second = stage.copy([...SHAPE, '--limit', '1M', image.path, stage.target('b')], { wrap });
      await seen(2);
      const [one, two] = [await first.result(), await second.result()];
      expect([one.ok, two.ok]).toEqual([true, true]);
      expect(stage.difference('a', image.content)).toBe(null);
      expect(stage.difference('b', image.content)).toBe(null);
      const names = stage.tool('nsenter', 'util-linux', [
        ...wrap.slice(1, 2),
        'ls',
        '-ld',
        '--numeric',
        '/dev/shm/understudy-0',
      ]);
      expect(names).toContain(String(STRANGER));
    }),
);

test('runtime folder - many processes that begin at one moment agree on one', () =>
  onStage(async (stage) => {
    const wrap = await ownMemory(stage, `${AS_STRANGER} mkdir /dev/shm/understudy-0`);
    const looks = Array.from({ length: 8 }, () => new CopyProcess(['copies', '--json'], stage.env, { wrap }));
    for (const look of looks) expect((await look.ended).status).toBe(0);
    const own = stage.tool('nsenter', 'util-linux', [
      ...wrap.slice(1, 2),
      ...['find', '/dev/shm', '-mindepth', '1', '-user', '0', '-name', 'understudy-0*'],
    ]);
    expect(own.trim().split('\n')).toHaveLength(1);
  }));

test('runtime folder - one that root has made for the user comes first', () =>
  onStage(async (stage) => {
    const wrap = await ownMemory(stage, 'mkdir -p /run/understudy; mkdir -m 700 /run/understudy/0');
    const image = stage.image('golden.img', 4 * MIB);
    const copy = stage.copy([...SHAPE, '--limit', '1M', image.path, stage.target('a')], { wrap });
    const list = (): string =>
      stage.tool('nsenter', 'util-linux', [
        ...wrap.slice(1, 2),
        'find',
        '/run/understudy/0',
        '/dev/shm',
        '-name',
        '*.ring',
      ]);
    await eventually('a ring', () => list() !== '');
    expect(list()).toMatch(/^\/run\/understudy\/0\/.*\.ring\n$/);
    await copy.good();
  }));

test('own folder - one of this user’s, or closed to others, where others may rename it, is refused', () => {
  const { path, undo } = sharedFolder(0o777);
  try {
    expect(() => ownFolder(path, 'mine')).toThrow(expect.objectContaining({ code: 'RING_FOLDER' }));
    const sticky = join(path, 'sticky');
    mkdirSync(sticky);
    chmodSync(sticky, 0o1777);
    asStranger('mkdir "$1/mine" "$1/mine.000000"; mkdir -m 777 "$1/mine.zzzzzz"', sticky);
    const own = ownFolder(sticky, 'mine');
    writeFileSync(join(own, 'x'), 'used');
    expect(own).toMatch(/mine\.\w{6}$/);
    expect(ownFolder(sticky, 'mine')).toBe(own);
    // The stranger takes its own away again: what is used stays in use.
    asStranger('rmdir "$1/mine.000000"', sticky);
    expect(readFileSync(join(ownFolder(sticky, 'mine'), 'x'), 'utf8')).toBe('used');
    expect(readdirSync(sticky)).toHaveLength(3);
    rmSync(own, { recursive: true });
  } finally {
    undo();
  }
});
