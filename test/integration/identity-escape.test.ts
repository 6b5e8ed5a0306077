// No path of an image leads out of it: not by a link to a folder, not by "..", not for reading and not for changing. The folder of
// these tests stands for what the kernel has mounted, so a path that got out would find the files beside it.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createIdentityEngine } from '../../src/identity/mod.ts';
import { editMounted, MountedTree } from '../../src/identity/mounted/mod.ts';
import { type FileEdit, type FileTree, fileTree } from '../../src/identity/tree/mod.ts';
import { makeFile, run } from '../support/disk-image.ts';
import { LEAD, SPARE, systemFiles, writeTree } from '../support/system-image.ts';

const MIB = 1024 * 1024;
const SECRET = 'a file of this machine';
let folder: string;
let tree: MountedTree;
let files: FileTree;

/** A file system at `root`, and beside it a folder of the machine, with what an image would like to reach. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-escape-'));
  for (const path of ['root/etc/sub', 'root/outside', 'outside/sub'])
    mkdirSync(join(folder, path), { recursive: true });
  writeFileSync(join(folder, 'outside/secret'), SECRET);
  writeFileSync(join(folder, 'outside/sub/secret'), SECRET);
  writeFileSync(join(folder, 'root/etc/own'), 'of the image');
  tree = new MountedTree(join(folder, 'root'), undefined);
  files = fileTree(tree);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function link(path: string, target: string): void {
  symlinkSync(target, join(folder, 'root', path));
}

async function pieces(path: string): Promise<string> {
  let text = '';
  for await (const piece of tree.pieces(path)) text += piece.toString();
  return text;
}

/** Links to the folder outside: by its path, and upwards. */
const WAYS = ['absolute', 'relative', 'to a link'] as const;

function linkOutside(path: string, way: (typeof WAYS)[number]): void {
  if (way === 'absolute') link(path, join(folder, 'outside'));
  else if (way === 'relative') link(path, '../../outside');
  else {
    link('etc/first', '../../outside');
    link(path, 'first');
  }
}

describe.each(WAYS)('a link to a folder outside, %s', (way) => {
  beforeEach(() => linkOutside('etc/way', way));

  test('is a link, and nothing is below it', async () => {
    expect((await tree.entry('/etc/way'))?.kind).toBe('link');
    expect(await tree.names('/etc/way')).toEqual([]);
    for (const path of ['/etc/way/secret', '/etc/way/sub', '/etc/way/sub/secret', '/etc/way/.', '/etc/way/']) {
      expect([path, await tree.entry(path)]).toEqual([path, null]);
      expect(await tree.names(path)).toEqual([]);
      expect((await tree.bytes(path, 100)).length).toBe(0);
      expect(await pieces(path)).toBe('');
      expect(await tree.modified(path)).toBe(0);
      expect(await tree.attributes(path)).toEqual([]);
    }
  });

  test('is followed inside of the image only', async () => {
    for (const path of ['/etc/way/secret', '/etc/way/sub/secret']) {
      expect([path, await files.stat(path), await files.read(path, 100)]).toEqual([path, null, null]);
    }
    expect(await files.list('/etc/way')).toEqual([]);
    expect(await files.list('/etc/way/sub')).toEqual([]);
  });

  test('is not changed through, also when it has taken the place of a folder', async () => {
    const owned = { uid: 0, gid: 0, mode: 0o644, attributes: [] };
    const make: FileEdit = {
      path: '/etc/way/new',
      replaces: false,
      state: { kind: 'file', bytes: Buffer.from('x'), ...owned },
    };
    const edits: FileEdit[] = [
      make,
      { ...make, path: '/etc/way/secret', replaces: true },
      { path: '/etc/way/sub/secret', replaces: true, state: { kind: 'gone' } },
      { path: '/etc/way/link', replaces: false, state: { kind: 'link', target: 'x' } },
      { path: '/etc/way/folder', replaces: false, state: { kind: 'folder', make: true, ...owned } },
    ];
    for (const edit of edits) {
      await expect(editMounted(tree, [edit])).rejects.toMatchObject({ code: 'IDENTITY_FAILED' });
    }
    // It was a folder when somebody looked.
    expect((await tree.entry('/etc/sub'))?.kind).toBe('folder');
    expect(await tree.names('/etc/sub')).toEqual([]);
    rmSync(join(folder, 'root/etc/sub'), { recursive: true });
    tree.forget();
    linkOutside('etc/sub', way === 'to a link' ? 'absolute' : way);
    await expect(editMounted(tree, [{ ...make, path: '/etc/sub/new' }])).rejects.toMatchObject({
      code: 'IDENTITY_FAILED',
    });
    expect(readdirSync(join(folder, 'outside')).sort()).toEqual(['secret', 'sub']);
    expect(readFileSync(join(folder, 'outside/secret'), 'utf8')).toBe(SECRET);
    expect(readdirSync(join(folder, 'outside/sub'))).toEqual(['secret']);
  });
});

describe('".." in a path', () => {
  test.each([
    '/../outside/secret',
    '/../../../../../../../../outside/secret',
    '/etc/../../outside/secret',
    '/etc/sub/../../../outside/secret',
    '/./.././outside/secret',
    '/..//..//outside/secret',
  ])('%s stays at the root, where the root has nothing of that name', async (path) => {
    expect(await files.stat(path)).toBe(null);
    expect(await files.lstat(path)).toBe(null);
    expect(await files.read(path, 100)).toBe(null);
    expect((await files.place(path))?.path).toBe('/outside/secret');
  });

  test.each(['/..', '/../..', '/etc/../..', '/etc/sub/../../..'])('%s is the root', async (path) => {
    expect((await files.stat(path))?.path).toBe('/');
    expect(await files.list(path)).toEqual(['etc', 'outside']);
  });

  test('means the folder above in the image, also behind a link and in one', async () => {
    link('etc/up', '../../../../../../etc/../../etc/own');
    link('etc/far', 'sub/..');
    link('etc/sub/from-the-root', '/etc/own');
    expect((await files.read('/etc/sub/from-the-root', 100))?.toString()).toBe('of the image');
    expect((await files.read('/etc/up', 100))?.toString()).toBe('of the image');
    expect((await files.read('/etc/sub/../own', 100))?.toString()).toBe('of the image');
    expect((await files.read('/etc/far/own', 100))?.toString()).toBe('of the image');
    expect((await files.stat('/etc/far/../../..'))?.path).toBe('/');
    // Above a file is nothing, as for the kernel.
    expect(await files.stat('/etc/own/..')).toBe(null);
    expect(await files.stat('/etc/nothing/../own')).toBe(null);
  });
});

test('an image that the kernel mounts, full of links to this machine: none of its files is named, shown or changed', async () => {
  const outside = join(folder, 'outside');
  writeFileSync(join(outside, 'secret'), `${LEAD.hostName}\n${LEAD.interfaces[0]?.addresses[0] ?? ''}\n`);
  writeFileSync(join(outside, 'id'), 'feedfacefeedfacefeedfacefeedface\n');
  const before = readdirSync(outside, { recursive: true }).map((name) => String(name));
  const up = '../'.repeat(30);
  const image = writeTree(join(folder, 'tree'), {
    ...systemFiles(),
    '/etc/machine-id': { link: `${up}${outside}/id` },
    '/etc/netplan': { link: outside },
    '/etc/cron.d': { link: `${up}${outside}` },
    '/var/spool/postfix': { link: outside },
    '/opt/notes': { link: `${outside}/secret` },
  });
  const part = makeFile(join(folder, 'part'), 320 * MIB);
  run('mkfs.xfs', ['-q', '-f', part]);
  const fill = `set -e; M=$(mktemp -d); mount -o loop "$1" $M; cp -a "$2/." $M; umount $M; rmdir $M`;
  run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', fill, 'sh', part, image]);
  const engine = createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true });
  const { signal } = new AbortController();
  const { findings } = await engine.inspect(part, LEAD, signal);
  const shown = JSON.stringify(findings);
  expect(shown).not.toContain('feedface');
  for (const { path } of findings) expect(path).not.toContain(outside);
  const plan = await engine.plan(part, { lead: LEAD, understudy: SPARE }, signal);
  await engine.apply(part, plan, signal).catch((error: unknown) => {
    expect(error).toMatchObject({ code: expect.stringMatching(/^(IDENTITY|IMAGE)_/) as string });
  });
  expect(readdirSync(outside, { recursive: true }).map((name) => String(name))).toEqual(before);
  expect(readFileSync(join(outside, 'id'), 'utf8')).toBe('feedfacefeedfacefeedfacefeedface\n');
});
