// Goal: nothing that somebody uses, and never the source, can be named as a target. Method: real loop devices, mounts,
// swap, partitions and links; everything is detached again, and that is checked.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ErrorCode, limits, requireTool } from '../../src/base/mod.ts';
import { fileIdentity } from '../../src/replication/device/file.ts';
import { checkTarget, type TargetFacts } from '../../src/replication/target-safety/mod.ts';
import { forgetPartitions, HELD_MS_MAX } from '../rig/unmount.ts';
import { eventually } from '../rig/wait.ts';
import { attachLoop, makeFile, run } from '../support/disk-image.ts';

const { MIB } = limits;
const ELSEWHERE = 'file:1:1';
let folder: string;
/** Undone in reverse order, whatever a test's outcome. */
let undo: (() => unknown)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-safety-'));
  undo = [];
});
afterEach(async () => {
  const failures: unknown[] = [];
  for (const step of undo.reverse()) {
    try {
      await step();
    } catch (error) {
      // The other steps still have to be done.
      failures.push(error);
    }
  }
  expect(failures).toEqual([]);
  const left = (): string =>
    ['/proc/self/mountinfo', '/proc/swaps'].map((path) => readFileSync(path, 'utf8')).join('') +
    run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']);
  // A mount namespace that another test made meanwhile has a copy of what was mounted, and keeps its loop device until it ends.
  await eventually('nothing of it is mounted or attached', () => !left().includes(folder), HELD_MS_MAX);
  rmSync(folder, { recursive: true, force: true });
});

function loopOver(path: string, ...options: string[]): string {
  const loop = attachLoop(path, ...options);
  undo.push(() => run('losetup', ['--detach', loop]));
  return loop;
}

function mount(device: string, name: string): string {
  const point = join(folder, name);
  mkdirSync(point);
  run('mount', [device, point]);
  undo.push(() => run('umount', [point]));
  return point;
}

function makeExt4(name: string, sizeBytes = 32 * MIB): string {
  const path = makeFile(join(folder, name), sizeBytes);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', path]);
  return path;
}

/** A loop device with two partitions, known to the kernel; also on kernels that read no partition tables themselves. */
function partitioned(): { disk: string; first: string; second: string } {
  const path = makeFile(join(folder, 'disk.img'), 64 * MIB);
  run('sfdisk', ['-q', path], 'label: gpt\n,30M\n,20M\n');
  const disk = loopOver(path, '--partscan');
  run('partx', ['--update', disk]);
  undo.push(() => forgetPartitions(disk));
  return { disk, first: `${disk}p1`, second: `${disk}p2` };
}

/** Mounts in a namespace of its own for as long as a child lives; what ends it. */
async function hiddenMount(device: string, point: string): Promise<() => Promise<void>> {
  const script = 'mount "$1" "$2" && echo ready && cat && umount "$2"';
  const child = spawn(requireTool('unshare', 'util-linux'), ['--mount', 'sh', '-c', script, 'sh', device, point], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  expect(String((await once(child.stdout, 'data'))[0])).toBe('ready\n');
  return async () => {
    child.stdin.end();
    expect((await exited)[0]).toBe(0);
  };
}

function check(target: string, sourcePath?: string): Promise<TargetFacts> {
  const sourceIdentity = sourcePath === undefined ? ELSEWHERE : fileIdentity(statSync(sourcePath));
  return checkTarget({ target, sourceIdentity });
}

async function refused(code: ErrorCode, target: string, sourcePath?: string, message = /./): Promise<void> {
  await expect(check(target, sourcePath), target).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  });
  if (sourcePath === undefined) return;
  // The same by path, for sources whose identity says less.
  const byPath = checkTarget({ target, sourceIdentity: 'unknown', sourcePath });
  await expect(byPath, target).rejects.toMatchObject({ code });
}

describe('block devices in use', () => {
  test('mounted, also by another node of the device and by a link', async () => {
    const loop = loopOver(makeExt4('a.img'));
    const point = mount(loop, 'mount');
    await refused('TARGET_IN_USE', loop, undefined, new RegExp(`is mounted on ${point}`));
    const { rdev } = statSync(loop);
    const node = join(folder, 'node');
    run('mknod', [node, 'b', String(rdev >> 8), String(rdev & 0xff)]);
    await refused('TARGET_IN_USE', node, undefined, /is mounted/);
    const link = join(folder, 'link');
    symlinkSync(loop, link);
    await refused('TARGET_IN_USE', link, undefined, /is mounted/);
  });

  test('a mount point with a space, and free again after unmounting', async () => {
    const loop = loopOver(makeExt4('a.img'));
    const point = mount(loop, 'mount with space');
    await refused('TARGET_IN_USE', loop, undefined, /mount with space/);
    run('umount', [point]);
    undo.pop();
    const facts = await check(loop);
    expect(facts).toMatchObject({ kind: 'block', needsConfirmation: true, contents: 'ext4' });
  });

  test('each device of a btrfs over two', async () => {
    const loops = [1, 2].map((index) => loopOver(makeFile(join(folder, `b${index}.img`), 128 * MIB)));
    run('mkfs.btrfs', ['-q', ...loops]);
    run('btrfs', ['device', 'scan', ...loops]);
    mount(loops[0] ?? '', 'mount');
    for (const loop of loops) await refused('TARGET_IN_USE', loop, undefined, /is mounted/);
  });

  test('active swap', async () => {
    const path = makeFile(join(folder, 'swap.img'), 16 * MIB);
    const loop = loopOver(path);
    run('mkswap', ['-q', loop]);
    run('swapon', [loop]);
    undo.push(() => run('swapoff', [loop]));
    await refused('TARGET_IN_USE', loop, undefined, /is active swap/);
    await refused('TARGET_IN_USE', path, undefined, /behind loop\d+, which is active swap/);
  });

  test('a disk with a mounted partition, and that partition; the other partition is free', async () => {
    const { disk, first, second } = partitioned();
    run('mke2fs', ['-q', '-F', '-t', 'ext4', first]);
    mount(first, 'mount');
    await refused('TARGET_IN_USE', disk, undefined, /shares bytes with loop\d+p1, which is mounted/);
    await refused('TARGET_IN_USE', first, undefined, /is mounted/);
    await refused('TARGET_IN_USE', join(folder, 'disk.img'), undefined, /behind loop/);
    expect(await check(second)).toMatchObject({ kind: 'block', needsConfirmation: false, contents: null });
  });

  test('held exclusively by a program, the whole or a partition', async () => {
    const { disk, first, second } = partitioned();
    // A mount in a namespace of its own is not in our table of mounts; only the kernel's claim tells.
    run('mke2fs', ['-q', '-F', '-t', 'ext4', first]);
    const point = join(folder, 'hidden');
    mkdirSync(point);
    const end = await hiddenMount(first, point);
    try {
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(point);
      await refused('TARGET_IN_USE', first, undefined, /held exclusively/);
      await refused('TARGET_IN_USE', disk, undefined, /held exclusively/);
      expect((await check(second)).kind).toBe('block');
    } finally {
      await end();
    }
    expect((await check(first)).contents).toBe('ext4');
  });

  test('a loop device over a device that is itself mounted, and one below a mounted one', async () => {
    const lower = loopOver(makeExt4('a.img'));
    const upper = loopOver(lower);
    mount(upper, 'mount');
    await refused('TARGET_IN_USE', lower, undefined, /behind loop\d+, which is mounted/);
  });

  test('read-only, without a device, without a medium', async () => {
    const loop = loopOver(makeFile(join(folder, 'a.img'), 4 * MIB), '--read-only');
    await refused('TARGET_READ_ONLY', loop);
    const node = join(folder, 'node');
    run('mknod', [node, 'b', '240', '77']);
    await refused('TARGET_NOT_FOUND', node);
    // Less than a sector: a device of size zero, as a card reader without a card is.
    await refused('TARGET_NOT_FOUND', loopOver(makeFile(join(folder, 'empty.img'), 100)), undefined, /no medium/);
  });
});

describe('the source by another name', () => {
  test('files: other path, links of both kinds, loop devices over it, and the other way round', async () => {
    const source = makeFile(join(folder, 'source.img'), 8 * MIB);
    const hard = join(folder, 'hard.img');
    const soft = join(folder, 'soft.img');
    linkSync(source, hard);
    symlinkSync('source.img', soft);
    const loop = loopOver(hard);
    for (const name of [source, `${folder}/./../${basename(folder)}/source.img`, hard, soft, loop]) {
      await refused('TARGET_IS_SOURCE', name, source);
      await refused('TARGET_IS_SOURCE', source, name);
    }
    await refused('TARGET_IS_SOURCE', loopOver(loop), source);
  });

  test('loop devices over parts of one file: only those that share bytes', async () => {
    const path = makeFile(join(folder, 'a.img'), 16 * MIB);
    const low = loopOver(path, '--sizelimit', String(8 * MIB));
    const high = loopOver(path, '--offset', String(8 * MIB));
    const middle = loopOver(path, '--offset', String(4 * MIB), '--sizelimit', String(8 * MIB));
    expect((await check(high, low)).kind).toBe('block');
    await refused('TARGET_IS_SOURCE', middle, low);
    await refused('TARGET_IS_SOURCE', high, middle);
  });

  test('a disk and its partitions, but not two partitions of one disk', async () => {
    const { disk, first, second } = partitioned();
    await refused('TARGET_IS_SOURCE', first, disk);
    await refused('TARGET_IS_SOURCE', disk, first);
    await refused('TARGET_IS_SOURCE', disk, disk);
    await refused('TARGET_IS_SOURCE', first, join(folder, 'disk.img'));
    expect((await check(second, first)).kind).toBe('block');
  });

  test('a file on the mounted source device is a target like any other', async () => {
    const loop = loopOver(makeExt4('a.img'));
    const point = mount(loop, 'mount');
    expect((await check(join(point, 'copy.img'), loop)).kind).toBe('new-file');
  });

  test('the provisional name of the target', async () => {
    const source = makeFile(join(folder, 'a.img.partial'), 8 * MIB);
    await refused('TARGET_IS_SOURCE', join(folder, 'a.img'), source);
    mkdirSync(join(folder, 'b.img.partial'));
    await refused('TARGET_KIND', join(folder, 'b.img'));
  });

  test('NBD exports: by host names of this machine, with TLS, through a link to the socket', async () => {
    const same: readonly (readonly [string, string])[] = [
      ['nbd://localhost/x', 'nbd://localhost:10809/x'],
      ['nbd://127.0.0.1:10809/x', 'nbd://localhost:10809/x'],
      ['nbds://[::1]/x', 'nbd://localhost:10809/x'],
      ['nbd://HOST/x', 'nbd://host:10809/x'],
      [`nbd+unix:///?socket=${folder}/../${basename(folder)}/s`, `nbd+unix:///?socket=${folder}/s`],
    ];
    for (const [target, sourceIdentity] of same) {
      await expect(checkTarget({ target, sourceIdentity })).rejects.toMatchObject({ code: 'TARGET_IS_SOURCE' });
    }
    expect(await checkTarget({ target: 'nbd://localhost/y', sourceIdentity: 'nbd://localhost:10809/x' })).toMatchObject(
      {
        kind: 'nbd',
        path: 'nbd://localhost/y',
        identity: 'nbd://localhost:10809/y',
        needsConfirmation: false,
      },
    );
  });
});

describe('files', () => {
  test('new, existing, by a link: facts', async () => {
    const path = join(folder, 'new.img');
    const fresh = await check(path);
    expect(fresh).toMatchObject({ kind: 'new-file', path, sizeBytes: null, contents: null, needsConfirmation: false });
    expect((await check(`${folder}/../${basename(folder)}/new.img`)).identity).toBe(fresh.identity);
    makeFile(path, 3 * MIB);
    const link = join(folder, 'link');
    symlinkSync(path, link);
    expect(await check(link)).toMatchObject({
      kind: 'file',
      path,
      identity: fileIdentity(statSync(path)),
      sizeBytes: 3 * MIB,
      contents: 'file of 3.00 MiB',
      needsConfirmation: true,
    });
  });

  test('swap files, and files behind loop devices that are in use; idle ones are told of', async () => {
    const swap = join(folder, 'swapfile');
    writeFileSync(swap, Buffer.alloc(8 * MIB), { mode: 0o600 });
    run('mkswap', ['-q', swap]);
    run('swapon', [swap]);
    undo.push(() => run('swapoff', [swap]));
    await refused('TARGET_IN_USE', swap, undefined, /swap file/);
    const image = makeExt4('a.img');
    const loop = loopOver(image);
    expect((await check(image)).contents).toBe(`file of 32.0 MiB, attached as ${loop}`);
    mount(loop, 'mount');
    await refused('TARGET_IN_USE', image, undefined, /behind loop\d+, which is mounted/);
  });

  test('what cannot be a target', async () => {
    const file = makeFile(join(folder, 'a.img'), 1);
    run('mkfifo', [join(folder, 'fifo')]);
    symlinkSync(join(folder, 'nothing'), join(folder, 'dangling'));
    symlinkSync(join(folder, 'circle'), join(folder, 'circle'));
    await refused('TARGET_KIND', folder);
    await refused('TARGET_KIND', join(folder, 'fifo'));
    await refused('TARGET_KIND', '/dev/null');
    await refused('TARGET_KIND', '-');
    await refused('TARGET_KIND', '');
    await refused('TARGET_KIND', 'https://example.com/a.img');
    await refused('TARGET_KIND', `${file}/x`);
    await refused('TARGET_NOT_FOUND', join(folder, 'missing', 'x'));
    await refused('TARGET_NOT_FOUND', `${folder}/missing/`);
    await refused('TARGET_NOT_FOUND', join(folder, 'dangling'));
    await refused('TARGET_NOT_FOUND', join(folder, 'circle'));
    await refused('TARGET_NOT_FOUND', '/dev/understudy-no-such-disk', undefined, /there is no device/);
  });

  test('on a read-only file system, and made immutable', async () => {
    const loop = loopOver(makeExt4('a.img'));
    const point = mount(loop, 'mount');
    const file = makeFile(join(point, 'file'), 100);
    run('chattr', ['+i', file]);
    await refused('TARGET_READ_ONLY', file);
    run('chattr', ['-i', file]);
    expect((await check(file)).kind).toBe('file');
    run('mount', ['-o', 'remount,ro', point]);
    await refused('TARGET_READ_ONLY', file);
    await refused('TARGET_READ_ONLY', join(point, 'new'));
  });

  test('without the rights: another user', () => {
    const door = new URL('../../dist/src/replication/target-safety/mod.js', import.meta.url).href;
    const file = makeFile(join(folder, 'a.img'), MIB);
    run('chmod', ['755', folder]);
    const loop = loopOver(file);
    const script = `import { checkTarget } from ${JSON.stringify(door)};
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      for (const target of ${JSON.stringify([file, join(folder, 'new'), loop])}) {
        await checkTarget({ target, sourceIdentity: 'none' }).then(() => console.log('allowed'), (e) => console.log(e.code));
      }`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(output.trim().split('\n')).toEqual(['TARGET_PERMISSION', 'TARGET_PERMISSION', 'TARGET_PERMISSION']);
  });
});

describe('what a block device carries', () => {
  test('nothing; a file system; partitions and what is in them', async () => {
    const blank = loopOver(makeFile(join(folder, 'blank.img'), 4 * MIB));
    expect(await check(blank)).toMatchObject({
      kind: 'block',
      path: blank,
      identity: fileIdentity(statSync(blank)),
      sizeBytes: 4 * MIB,
      readOnly: false,
      contents: null,
      needsConfirmation: false,
    });
    const { disk, first } = partitioned();
    expect(await check(disk)).toMatchObject({ contents: 'GPT partition table', needsConfirmation: true });
    run('mke2fs', ['-q', '-F', '-t', 'ext4', first]);
    expect(await check(disk)).toMatchObject({ contents: 'GPT partition table, ext4', needsConfirmation: true });
    const fat = makeFile(join(folder, 'fat.img'), 8 * MIB);
    run('mkfs.vfat', [fat]);
    expect(await check(loopOver(fat))).toMatchObject({ contents: 'vfat', needsConfirmation: true });
  });
});
