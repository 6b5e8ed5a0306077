// Goal: our reader of ext file systems sees what the kernel and e2fsprogs see, whatever features mke2fs gives the file system.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits, seededRandom } from '../../src/base/mod.ts';
import { ExtFileSystem, ExtTree, ImageFile, parseSuperblock } from '../../src/identity/ext/mod.ts';
import { fileTree, join as joinPath } from '../../src/identity/tree/mod.ts';
import { makeFile, run } from '../support/disk-image.ts';
import { digestOfFile, withMount } from '../support/system-image.ts';

const { MIB } = limits;
const signal = new AbortController().signal;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-ext-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function withTree<T>(path: string, use: (tree: ExtTree) => Promise<T>): Promise<T> {
  const file = await ImageFile.open(path, path, signal);
  try {
    const result = parseSuperblock(await file.read(1024, 1024));
    if (result.kind !== 'ext') throw new Error(`${path}: ${result.kind}`);
    return await use(new ExtTree(new ExtFileSystem(file, 0, result.superblock)));
  } finally {
    await file.close();
  }
}

function short(bytes: Buffer): string {
  return `${bytes.length} bytes ${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`;
}

/** Everything below the root of an image, one text a file. */
async function listImage(tree: ExtTree, at = '/', into = new Map<string, string>()): Promise<Map<string, string>> {
  for (const name of await tree.names(at)) {
    const path = joinPath(at, name);
    if (path === '/lost+found') continue;
    const entry = await tree.entry(path);
    if (entry === null) throw new Error(`${path} is listed and not there`);
    const { kind, mode, uid, gid } = entry;
    const content = kind === 'file' ? short(await tree.bytes(path, 64 * MIB)) : (entry.target ?? '');
    into.set(path, `${kind} ${kind === 'link' ? '' : mode.toString(8)} ${uid}:${gid} ${content}`);
    if (kind === 'folder') await listImage(tree, path, into);
  }
  return into;
}

/** The same of a folder of this machine. */
async function listFolder(root: string, at = '/', into = new Map<string, string>()): Promise<Map<string, string>> {
  for (const name of (await readdir(join(root, at))).sort()) {
    const path = joinPath(at, name);
    const facts = await lstat(join(root, path));
    const kind = facts.isFile() ? 'file' : facts.isDirectory() ? 'folder' : facts.isSymbolicLink() ? 'link' : 'other';
    const content =
      kind === 'file'
        ? short(await readFile(join(root, path)))
        : kind === 'link'
          ? await readlink(join(root, path))
          : '';
    const mode = kind === 'link' ? '' : (facts.mode & 0o7777).toString(8);
    into.set(path, `${kind} ${mode} ${facts.uid}:${facts.gid} ${content}`);
    if (kind === 'folder') await listFolder(root, path, into);
  }
  return into;
}

/** Small and large files, empty ones, holes, names of many kinds, short and long links, a pipe. */
function makeTree(root: string): string {
  const random = seededRandom(7);
  mkdirSync(join(root, 'etc/deep/er'), { recursive: true });
  for (const sizeBytes of [0, 1, 50, 59, 60, 61, 100, 160, 1023, 1024, 4097, 70_000, 900_000]) {
    const bytes = Buffer.alloc(sizeBytes, `${random.below(1e6)} `);
    writeFileSync(join(root, `etc/of-${sizeBytes}`), bytes, { mode: sizeBytes % 2 === 0 ? 0o640 : 0o755 });
  }
  for (let index = 0; index < 40; index++) writeFileSync(join(root, `etc/deep/file ${index} ü "quoted"`), `${index}`);
  symlinkSync('er', join(root, 'etc/deep/short'));
  symlinkSync(`/etc/${'x'.repeat(54)}`, join(root, 'etc/link-59'));
  symlinkSync(`/etc/${'x'.repeat(55)}`, join(root, 'etc/link-60'));
  symlinkSync(`/etc/${'x/'.repeat(400)}`, join(root, 'etc/long'));
  run('mkfifo', [join(root, 'etc/pipe')]);
  // It does not end in a hole, which mke2fs 1.47 would lose where small files lie in inodes.
  run('dd', ['if=/dev/urandom', `of=${join(root, 'etc/hole')}`, 'bs=4096', 'count=1', 'seek=500']);
  return root;
}

describe('what mke2fs makes', () => {
  test.each([
    ['ext4', '32M', ['-t', 'ext4']],
    ['blocks of 4 KiB', '64M', ['-t', 'ext4', '-b', '4096']],
    ['blocks of 64 KiB', '256M', ['-t', 'ext4', '-b', '65536']],
    ['ext3', '32M', ['-t', 'ext3']],
    ['ext2, small inodes', '32M', ['-t', 'ext2', '-I', '128']],
    ['revision 0', '32M', ['-t', 'ext2', '-r', '0']],
    ['files in inodes', '32M', ['-t', 'ext4', '-O', 'inline_data', '-I', '512']],
    ['files in small inodes', '32M', ['-t', 'ext4', '-O', 'inline_data', '-I', '256']],
    ['meta groups', '256M', ['-t', 'ext4', '-O', 'meta_bg,^resize_inode', '-b', '1024', '-N', '4096']],
    ['32 bits, no check sums', '64M', ['-t', 'ext4', '-O', '^64bit,^metadata_csum']],
    ['clusters', '64M', ['-t', 'ext4', '-O', 'bigalloc', '-b', '1024', '-C', '16384']],
    ['sparse_super2', '256M', ['-t', 'ext4', '-O', 'sparse_super2,meta_bg,^resize_inode', '-b', '1024', '-N', '2048']],
  ] as const)('%s: the same files', async (_name, size, options) => {
    const source = makeTree(join(folder, 'tree'));
    const image = makeFile(join(folder, 'image'), 0);
    run('truncate', ['-s', size, image]);
    run('mke2fs', ['-q', '-F', ...options, '-d', source, image]);
    const before = digestOfFile(image);
    expect(await withTree(image, listImage)).toEqual(await listFolder(source));
    expect(digestOfFile(image)).toBe(before);
  });
});

describe('what the kernel makes', () => {
  test('hash trees, deep extent trees, many owners, deleted names', async () => {
    const image = { path: makeFile(join(folder, 'image'), 96 * MIB), offsetBytes: 0, ext: join(folder, 'image') };
    run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '1024', image.path]);
    const script = [
      'mkdir -p $M/etc/many && cd $M/etc/many && for i in $(seq 3000); do echo $i > a-file-with-a-long-enough-name-$i; done',
      'rm a-file-with-a-long-enough-name-*7',
      // Every second block of one file belongs to the other: hundreds of extents each.
      'for i in $(seq 0 2 1200); do dd if=/dev/urandom of=../one bs=1024 seek=$i count=1 conv=notrunc status=none; done',
      'chown 70000:80000 ../one; chmod 4711 ../one; ln ../one ../other; mknod ../null c 1 3',
      'cd /; cp -a $M/etc "$1.copy"',
    ].join('\n');
    withMount(image, script, 'rw');
    expect(run('debugfs', ['-R', 'stat /etc/many', image.path])).toMatch(/Flags: 0x(8)?1000/);
    const found = await withTree(image.path, listImage);
    const expected = await listFolder(`${image.path}.copy`);
    expect(new Map([...found].filter(([path]) => path !== '/etc'))).toEqual(
      new Map([...expected].map(([path, text]) => [`/etc${path}`, text])),
    );
    expect(await withTree(image.path, async (tree) => (await tree.entry('/etc/one'))?.links)).toBe(2);
  });

  test('extended attributes, in the inode and in a block', async () => {
    const image = { path: makeFile(join(folder, 'image'), 16 * MIB), offsetBytes: 0, ext: join(folder, 'image') };
    run('mke2fs', ['-q', '-F', '-t', 'ext4', image.path]);
    const python = `import os,sys; os.setxattr(sys.argv[1], 'security.selinux', b'system_u:object_r:etc_t:s0\\0'); os.setxattr(sys.argv[1], 'user.large', b'x' * 600)`;
    withMount(image, `mkdir $M/etc; python3 -c "${python}" $M/etc`, 'rw');
    const attributes = await withTree(image.path, (tree) => tree.attributes('/etc'));
    expect(new Map(attributes.map(({ name, value }) => [name, value.toString()]))).toEqual(
      new Map([
        ['security.selinux', 'system_u:object_r:etc_t:s0\0'],
        ['user.large', 'x'.repeat(600)],
      ]),
    );
  });

  test('10,000 names in a folder, some of them no UTF-8', async () => {
    const image = { path: makeFile(join(folder, 'image'), 64 * MIB), offsetBytes: 0, ext: join(folder, 'image') };
    run('mke2fs', ['-q', '-F', '-t', 'ext4', '-N', '20000', image.path]);
    withMount(image, "mkdir $M/etc; cd $M/etc; seq 10000 | xargs touch; echo hm > $'\\xff\\xfe-name'; cd /", 'rw');
    await withTree(image.path, async (tree) => {
      const names = await tree.names('/etc');
      expect(names).toHaveLength(10_001);
      const odd = names.find((name) => !/^[0-9]+$/.test(name)) ?? '';
      expect(odd).toBe('\udcff\udcfe-name');
      expect((await fileTree(tree).read(`/etc/${odd}`, 100))?.toString()).toBe('hm\n');
    });
  });
});
