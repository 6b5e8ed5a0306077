// What can be wrong with a target. Each test produces it for real, and checks message, exit status and that nothing
// stays.
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { forgetPartitions } from '../rig/unmount.ts';
import { eventually } from '../rig/wait.ts';
import { RogueServer } from '../support/nbd-server.ts';
import { diskBytes } from '../support/packed-image.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];
const WITHOUT_RIGHTS = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--'] : [];

function mounted(stage: Stage, name: string, ...args: readonly string[]): string {
  const folder = stage.path(name);
  mkdirSync(folder);
  stage.tool('mount', 'mount', [...args, folder]);
  stage.defer(() => {
    stage.tool('umount', 'mount', [folder]);
  });
  return folder;
}

/** A loop device over a new file, with an ext4 file system. */
function ext4Device(stage: Stage, name: string, sizeBytes: number): string {
  writeFileSync(stage.path(name), Buffer.alloc(sizeBytes));
  stage.tool('mke2fs', 'e2fsprogs', ['-q', '-F', '-t', 'ext4', stage.path(name)]);
  return stage.loop(stage.path(name));
}

/** A node of the first partition, made from what the kernel tells: it need not be in /dev yet. */
async function partitionOf(stage: Stage, disk: string): Promise<string> {
  const numbers = `/sys/class/block/${basename(disk)}p1/dev`;
  await eventually('the kernel has seen the partition', () => existsSync(numbers));
  const [major = '', minor = ''] = readFileSync(numbers, 'utf8').trim().split(':');
  const node = stage.path('partition');
  stage.tool('mknod', 'coreutils', [node, 'b', major, minor]);
  return node;
}

test.concurrent('target too small: block device, NBD server, file system', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB + 1);
    const old = randomBytesOf(5, 4 * MIB);
    writeFileSync(stage.path('disk'), old);
    const device = stage.loop(stage.path('disk'));
    await expectFailure(stage.copyJson('--yes', image.path, device), 'TARGET_TOO_SMALL', /4194304 bytes, but 4194305/);
    expect(stage.difference(device, old)).toBe(null);
    const server = await stage.nbdkit({ plugin: ['memory', '4M'] });
    await expectFailure(
      stage.copyJson('--yes', image.path, server.uri),
      'TARGET_TOO_SMALL',
      /4194304 bytes, but 4194305/,
    );
    const folder = mounted(stage, 'small', '-t', 'tmpfs', '-o', 'size=2M', 'none');
    await expectFailure(stage.copyJson(image.path, join(folder, 'a')), 'TARGET_TOO_SMALL', /whole file system/);
    expect(readdirSync(folder)).not.toContain('a');
  }));

test.concurrent('target too small for a stream, whose length nobody knew', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 3 * MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(2 * MIB));
    const device = stage.loop(stage.path('disk'));
    const copy = stage.copy(['--json', '--quiet', '--yes', ...SHAPE, '-', device, stage.target('a')], {
      stdin: 'pipe',
    });
    copy.child.stdin?.end(image.content);
    await expectFailure(copy, 'TARGET_TOO_SMALL', /the device ends there/);
    // The other one gets everything.
    expect((await copy.result()).targets[1]?.error).toBe(null);
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent('target read-only: block device, NBD server, file system', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(MIB));
    const device = stage.loop(stage.path('disk'), '--read-only');
    await expectFailure(stage.copyJson('--yes', image.path, device), 'TARGET_READ_ONLY', /read-only/);
    const server = await stage.nbdkit({ options: ['-r'], plugin: ['memory', '1M'] });
    await expectFailure(stage.copyJson('--yes', image.path, server.uri), 'TARGET_READ_ONLY', /read-only/);
    const folder = mounted(stage, 'fixed', '-t', 'tmpfs', '-o', 'ro,size=8M', 'none');
    await expectFailure(stage.copyJson(image.path, join(folder, 'a')), 'TARGET_READ_ONLY', /EROFS|read-only/);
  }));

test.concurrent('target that this user may not write', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    mkdirSync(stage.path('closed'));
    chmodSync(stage.path('closed'), 0o555);
    const copy = stage.copy(['--json', '--quiet', image.path, stage.path('closed/a')], { wrap: WITHOUT_RIGHTS });
    await expectFailure(copy, 'TARGET_PERMISSION', /closed/);
    expect(readdirSync(stage.path('closed'))).toEqual([]);
  }));

test.concurrent.each(['tmpfs', 'ext4'])('target on a full file system: %s', (kind) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 12 * MIB);
    const folder =
      kind === 'tmpfs'
        ? mounted(stage, 'full', '-t', 'tmpfs', '-o', 'size=20M', 'none')
        : mounted(stage, 'full', ext4Device(stage, 'disk', 24 * MIB));
    writeFileSync(join(folder, 'ballast'), Buffer.alloc(14 * MIB, 1));
    const copy = stage.copyJson(...SHAPE, image.path, join(folder, 'a'), stage.target('b'));
    await expectFailure(copy, 'TARGET_FULL', /12582912 bytes are to be written/);
    expect((await copy.result()).targets[1]).toMatchObject({ ok: true });
    expect(stage.difference('b', image.content)).toBe(null);
    expect(readdirSync(folder)).not.toContain('a');
    expect(readdirSync(folder).filter((name) => name.startsWith('a'))).toEqual([]);
  }),
);

test.concurrent('target that fails at its 100th write, while the other goes on', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 12 * MIB);
    // The plug-in counts writes; once there were 99, it makes the file that arms nbdkit's error filter.
    const pwrite = [
      'dd of=FOLDER/disk conv=notrunc oflag=seek_bytes seek=$4 bs=64K iflag=fullblock status=none;',
      'echo >> FOLDER/writes; if [ $(wc -l < FOLDER/writes) -ge 99 ]; then touch FOLDER/armed; fi',
    ].join(' ');
    const server = await stage.nbdkit({
      filters: ['error'],
      plugin: [
        'eval',
        'get_size=stat -Lc %s FOLDER/disk',
        'pread=dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none',
        `pwrite=${pwrite}`,
        'can_write=exit 0',
        'can_flush=exit 0',
        'flush=exit 0',
        'thread_model=echo serialize_all_requests',
        'error-pwrite=EIO',
        'error-pwrite-rate=100%',
        'error-pwrite-file=FOLDER/armed',
      ],
      files: { disk: Buffer.alloc(12 * MIB) },
    });
    const copy = stage.copyJson('--yes', ...SHAPE, image.path, server.uri, stage.target('b'));
    await expectFailure(copy, 'TARGET_WRITE_FAILED', /./);
    const [failed, whole] = (await copy.result()).targets;
    expect(failed).toMatchObject({ resumable: true });
    expect(failed?.bytesCopied).toBeGreaterThan(90 * 64 * 1024);
    expect(failed?.bytesCopied).toBeLessThanOrEqual(99 * 64 * 1024);
    expect(whole).toMatchObject({ ok: true });
    expect(stage.difference('b', image.content)).toBe(null);
  }));

test.concurrent('target server that is killed, while the other goes on', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const server = await stage.nbdkit({ plugin: ['memory', '8M'] });
    const copy = stage.copyJson('--yes', ...SHAPE, '--limit', '2M', image.path, server.uri, stage.target('b'));
    await stage.sees(
      'ten blocks',
      ({ consumers }) => consumers.length === 2 && consumers.every((one) => one.blocksLeft < 118),
    );
    await server.kill();
    await expectFailure(copy, 'TARGET_UNAVAILABLE', /./);
    expect((await copy.result()).targets[1]).toMatchObject({ ok: true });
    expect(stage.difference('b', image.content)).toBe(null);
  }));

test.concurrent('target server that refuses, or sends rubbish', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const rogue = await RogueServer.start('rubbish');
    stage.defer(() => rogue.stop());
    await expectFailure(stage.copyJson('--yes', image.path, rogue.uri), 'TARGET_UNAVAILABLE', /./);
    const nowhere = 'nbd+unix:///?socket=/nowhere/socket';
    await expectFailure(stage.copyJson('--yes', image.path, nowhere), 'TARGET_UNAVAILABLE', /nowhere/);
  }));

test.concurrent('target that is mounted, or holds a mounted partition, or is swap: refused also with --yes', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const device = ext4Device(stage, 'disk', 8 * MIB);
    const folder = mounted(stage, 'mnt', device);
    await expectFailure(stage.copyJson('--yes', image.path, device), 'TARGET_IN_USE', /is mounted on .*mnt/);
    await expectFailure(stage.copyJson('--yes', image.path, stage.path('disk')), 'TARGET_IN_USE', /mounted/);
    writeFileSync(join(folder, 'still-there'), 'yes');

    writeFileSync(stage.path('parted'), Buffer.alloc(16 * MIB));
    stage.tool('sh', 'dash', [
      '-c',
      `printf 'label: gpt\\nstart=2048, size=16384\\n' | /usr/sbin/sfdisk --quiet "$0"`,
      stage.path('parted'),
    ]);
    const disk = stage.loop(stage.path('parted'));
    // Not every kernel looks for partition tables by itself.
    stage.tool('partx', 'util-linux', ['--add', disk]);
    stage.defer(() => forgetPartitions(disk));
    const partition = await partitionOf(stage, disk);
    stage.tool('mke2fs', 'e2fsprogs', ['-q', '-F', partition]);
    mounted(stage, 'mnt1', partition);
    await expectFailure(stage.copyJson('--yes', image.path, disk), 'TARGET_IN_USE', /mounted on .*mnt1/);

    writeFileSync(stage.path('swap'), Buffer.alloc(4 * MIB), { mode: 0o600 });
    stage.tool('mkswap', 'util-linux', [stage.path('swap')]);
    const swap = stage.loop(stage.path('swap'));
    stage.tool('swapon', 'mount', [swap]);
    stage.defer(() => {
      stage.tool('swapoff', 'mount', [swap]);
    });
    await expectFailure(stage.copyJson('--yes', image.path, swap), 'TARGET_IN_USE', /swap/);
  }));

test.concurrent('target that carries a file system: refused without --yes, with what it is', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const device = ext4Device(stage, 'disk', 8 * MIB);
    await expectFailure(stage.copyJson(image.path, device), 'TARGET_NOT_CONFIRMED', /holds ext4; nothing was written/);
    stage.tool('e2fsck', 'e2fsprogs', ['-fn', device]);
    await stage.copyJson('--yes', image.path, device).good();
    expect(stage.difference(device, image.content)).toBe(null);
  }));

test.concurrent('target on an NBD server that carries a file system or a partition table: refused without --yes, a blank one is not', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    writeFileSync(stage.path('ext4'), Buffer.alloc(8 * MIB));
    stage.tool('mke2fs', 'e2fsprogs', ['-q', '-F', '-t', 'ext4', stage.path('ext4')]);
    const held = {
      ext: readFileSync(stage.path('ext4')),
      partition: diskBytes(8 * MIB, 3),
      nothing: Buffer.alloc(MIB),
    };
    for (const [words, disk] of Object.entries(held)) {
      const server = await stage.nbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk } });
      if (words !== 'nothing') {
        const refused = stage.copyJson(image.path, server.uri);
        await expectFailure(refused, 'TARGET_NOT_CONFIRMED', new RegExp(`holds .*${words}.*nothing was written`));
        expect(readFileSync(join(server.folder, 'disk')).equals(disk)).toBe(true);
      }
      await stage.copyJson(...(words === 'nothing' ? [] : ['--yes']), image.path, server.uri).good();
      expect(stage.difference(join(server.folder, 'disk'), image.content)).toBe(null);
    }
  }));

test.concurrent('target that is the source, by whatever name', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    symlinkSync(image.path, stage.target('symbolic'));
    linkSync(image.path, stage.target('hard'));
    const device = stage.loop(image.path);
    const server = await stage.nbdkit({ plugin: ['memory', '2M'] });
    const pairs = [
      [image.path, image.path],
      [image.path, stage.target('symbolic')],
      [image.path, stage.target('hard')],
      [image.path, device],
      [device, device],
      [device, image.path],
      [server.uri, server.uri],
    ] as const;
    for (const [source, target] of pairs) {
      await expectFailure(stage.copyJson('--yes', source, target), 'TARGET_IS_SOURCE', /the source itself/);
    }
    expect(stage.difference(image.path, image.content)).toBe(null);
  }));

test.concurrent('target of two copies at once: the second is refused and disturbs nothing', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB);
    const other = stage.image('other.img', 6 * MIB, 2);
    writeFileSync(stage.path('disk'), Buffer.alloc(6 * MIB));
    const device = stage.loop(stage.path('disk'));
    const server = await stage.nbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk: Buffer.alloc(6 * MIB) } });
    for (const target of [stage.target('a'), device, server.uri]) {
      const first = stage.copyJson('--yes', ...SHAPE, '--limit', '1M', image.path, target);
      await stage.sees('the first', ({ consumers }) => (consumers[0]?.blocksLeft ?? 96) < 96);
      first.signal('SIGSTOP');
      // Of a device the kernel tells first that somebody holds it.
      const code = target === device ? /TARGET_BUSY|TARGET_IN_USE/ : /TARGET_BUSY/;
      for (const source of [image.path, other.path]) {
        const second = stage.copyJson('--yes', ...SHAPE, source, target);
        const [refused] = (await second.result()).targets;
        expect(refused?.error?.code).toMatch(code);
        expect((await second.ended).status).toBe(4);
      }
      first.signal('SIGCONT');
      await first.good();
      const at = target === server.uri ? `${server.folder}/disk` : target;
      expect(stage.difference(at, image.content)).toBe(null);
    }
  }));

test.concurrent('target that is a folder, a link to nothing, a mistyped device, or a URI that cannot be written', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    symlinkSync('/nowhere/at-all', stage.path('dangling'));
    const cases = [
      [stage.out, 'TARGET_KIND', /is a directory/],
      [stage.target('no/such/folder'), 'TARGET_NOT_FOUND', /ENOENT/],
      [stage.path('dangling'), 'TARGET_NOT_FOUND', /does not exist/],
      ['/dev/no-such-disk', 'TARGET_NOT_FOUND', /there is no device/],
      ['/dev/null', 'TARGET_KIND', /neither a file nor a block device/],
      ['https://example.com/a.img', 'TARGET_KIND', /cannot be written/],
    ] as const;
    for (const [target, code, words] of cases) {
      await expectFailure(stage.copyJson('--yes', image.path, target), code, words);
    }
    expect(stage.targets).toEqual([]);
    expect(statSync(image.path).size).toBe(MIB);
  }));
