// File targets in a folder that another user can write too: what that user puts in the way, swaps or forges neither
// gets the image nor loses anybody a file, and no copy is called good that is not one.
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { allocatePages, digestOf, setAttribute } from '../../src/linux/mod.ts';
import { recordAt, saveRecord } from '../../src/replication/target/mod.ts';
import { ACL, accessList } from '../rig/access-list.ts';
import type { CopyProcess } from '../rig/copy-process.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { asStranger, readByStranger, STRANGER, sharedFolder } from '../rig/stranger.ts';
import { eventually } from '../rig/wait.ts';

const MIB = 1024 * 1024;
const BLOCK = 64 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

interface Scene {
  /** Everybody may write it. */
  readonly shared: string;
  readonly base: string;
  readonly target: string;
  readonly partial: string;
  readonly record: string;
  /** Root's secret. */
  readonly image: { readonly path: string; readonly content: Buffer };
}

function sceneOf(stage: Stage, mode?: number): Scene {
  const { path, base, undo } = sharedFolder(mode);
  stage.defer(undo);
  const image = stage.image('secret.img', 4 * MIB);
  chmodSync(image.path, 0o600);
  const target = join(path, 'a');
  return { shared: path, base, target, partial: `${target}.partial`, record: `${target}.partial.resume`, image };
}

/** A record that says of every block of a file that it is there, as somebody makes who knows the format. */
function forgeRecord(scene: Scene, file: string, source: string): void {
  const content = readFileSync(file);
  const blockCount = content.length / BLOCK;
  const digests = new BigUint64Array(blockCount * 2);
  const page = allocatePages(BLOCK);
  const memory = new Uint8Array(page.buffer);
  for (let block = 0; block < blockCount; block++) {
    memory.set(content.subarray(block * BLOCK, (block + 1) * BLOCK));
    const { lo, hi } = digestOf(memory);
    digests.set([lo, hi], block * 2);
  }
  page.unmap();
  const { dev, ino, birthtimeNs } = statSync(file, { bigint: true });
  const facts = statSync(source, { bigint: true });
  saveRecord(recordAt(scene.record), {
    target: `file:${dev}:${ino}:${birthtimeNs}`,
    sourceIdentity: `file:${facts.dev}:${facts.ino}+raw`,
    fingerprint: `${facts.size}:${facts.mtimeNs}`,
    sourceBytes: content.length,
    endBytes: 0,
    blockBytes: BLOCK,
    blockCount,
    missingCount: 0,
    done: new Uint8Array(Math.ceil(blockCount / 8)).fill(0xff),
    digests: new Uint8Array(digests.buffer),
  });
}

/** A copy that has begun and goes on for some seconds. */
async function begun(stage: Stage, { image, target }: Scene, ...flags: readonly string[]): Promise<CopyProcess> {
  const copy = stage.copyJson(...SHAPE, '--limit', '1M', ...flags, image.path, target);
  await stage.sees('blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 60);
  return copy;
}

test.each([0o777, 0o1777])(
  'stranger - a NAME.partial made beforehand, with a forged record, in a folder of mode %o',
  (mode) =>
    onStage(async (stage) => {
      const scene = sceneOf(stage, mode);
      const { partial, record, target, image } = scene;
      asStranger('umask 0; head -c 4194304 /dev/urandom > "$1"', partial);
      const planted = readFileSync(partial);
      forgeRecord(scene, partial, image.path);
      chownSync(record, STRANGER, STRANGER);
      chmodSync(record, 0o666);
      for (const flags of [[], ['--yes'], ['--resume'], ['--resume', '--verify', '--yes']]) {
        const copy = stage.copyJson(...SHAPE, ...flags, image.path, target);
        await expectFailure(copy, 'TARGET_PARTIAL_FOREIGN', /a\.partial is in the way.*remove it/);
      }
      expect(readFileSync(partial).equals(planted)).toBe(true);
      expect(existsSync(target)).toBe(false);
    }),
);

test('stranger - a file of the user itself, moved to NAME.partial beside a forged record, is not gone on with', () =>
  onStage(async (stage) => {
    const scene = sceneOf(stage);
    const { partial, shared, target, image } = scene;
    // Something that root got from somebody else once: root's file, the stranger's content.
    const got = join(shared, 'download');
    writeFileSync(got, Buffer.alloc(4 * MIB, 'stranger'), { mode: 0o600 });
    asStranger('mv "$1" "$2"', got, partial);
    forgeRecord(scene, partial, image.path);
    const resumed = await stage.copyJson(...SHAPE, '--resume', '--verify', image.path, target).good();
    expect(resumed).toMatchObject({ verified: true, bytesReused: 0 });
    expect(stage.difference(target, image.content)).toBe(null);
  }));

test('stranger - what an interrupted copy left there is gone on with all the same, by its signed record', () =>
  onStage(async (stage) => {
    const scene = sceneOf(stage);
    const { target, record, image } = scene;
    const copy = await begun(stage, scene);
    copy.signal('SIGINT');
    await copy.ended;
    const resumed = await stage.copyJson(...SHAPE, '--resume', image.path, target).good();
    expect(resumed.bytesReused).toBeGreaterThan(0);
    expect(stage.difference(target, image.content)).toBe(null);
    // The key is the user's alone, and another one's signature is worth nothing.
    const key = join(stage.state, 'understudy', 'record.key');
    expect(statSync(key).mode & 0o777).toBe(0o600);
    const again = await begun(stage, scene, '--yes');
    again.signal('SIGINT');
    await again.ended;
    expect(existsSync(record)).toBe(true);
    writeFileSync(key, Buffer.alloc(32, 7));
    const afresh = await stage.copyJson(...SHAPE, '--resume', '--yes', image.path, target).good();
    expect(afresh.notes.join()).toContain('checksum is wrong');
    expect(afresh.bytesReused).toBe(0);
  }));

test('stranger - links and pipes in the place of the record neither lead to other files nor hold up the copy', () =>
  onStage(async (stage) => {
    const { target, record, base, image } = sceneOf(stage);
    const precious = join(base, 'precious');
    writeFileSync(precious, 'root’s own', { mode: 0o600 });
    asStranger('ln -s "$1" "$2.new"', precious, record);
    await stage.copyJson(...SHAPE, image.path, target).good();
    expect(readFileSync(precious, 'utf8')).toBe('root’s own');
    asStranger('rm -f "$1.new"; mkfifo "$2.resume"', record, `${target}.partial`);
    await stage.copyJson(...SHAPE, '--resume', '--yes', image.path, target).good();
    asStranger('ln -s /dev/zero "$1"', record);
    await stage.copyJson(...SHAPE, '--resume', '--yes', image.path, target).good();
    expect(stage.difference(target, image.content)).toBe(null);
  }));

test.each(['link', 'file', 'pipe'])('stranger - NAME.partial is a %s of somebody else', (kind) =>
  onStage(async (stage) => {
    const { target, partial, base, image } = sceneOf(stage);
    const precious = join(base, 'precious');
    writeFileSync(precious, 'root’s own', { mode: 0o600 });
    const make = { link: 'ln -s "$2" "$1"', file: ': > "$1"; chmod 600 "$1"', pipe: 'mkfifo "$1"' }[kind] ?? '';
    asStranger(make, partial, precious);
    const copy = stage.copyJson(...SHAPE, '--yes', image.path, target);
    await expectFailure(copy, kind === 'pipe' ? 'TARGET_KIND' : 'TARGET_PARTIAL_FOREIGN', /a\.partial is in the way/);
    expect(readFileSync(precious, 'utf8')).toBe('root’s own');
  }),
);

test.each(['link', 'file'])('stranger - NAME.partial is swapped for a %s while the copy writes', (kind) =>
  onStage(async (stage) => {
    const scene = sceneOf(stage);
    const { target, partial, base, image } = scene;
    const precious = join(base, 'precious');
    writeFileSync(precious, 'root’s own', { mode: 0o600 });
    const copy = await begun(stage, scene);
    asStranger('mv "$1" "$1.mine"', partial);
    asStranger(kind === 'link' ? 'ln -s "$2" "$1"' : 'umask 0; echo mine > "$1"', partial, precious);
    await expectFailure(copy, 'TARGET_UNSAFE', /moved or removed .*a\.partial.*folder that other users cannot write/);
    expect(readFileSync(precious, 'utf8')).toBe('root’s own');
    expect(existsSync(target)).toBe(false);
    // Nothing of the secret can be read: neither in what was swapped in nor in what was moved away.
    if (kind === 'file') expect(readFileSync(partial, 'utf8')).toBe('mine\n');
    expect(readByStranger(`${partial}.mine`)).toBe(null);
    expect(image.content.length).toBe(4 * MIB);
  }),
);

test('stranger - the folder is moved while the copy writes, and a link to another takes its name', () =>
  onStage(async (stage) => {
    const scene = sceneOf(stage);
    const { shared, base } = scene;
    chmodSync(base, 0o777);
    const etc = join(base, 'etc');
    mkdirSync(etc, { mode: 0o755 });
    const copy = await begun(stage, scene);
    asStranger('mv "$1" "$1.moved"; ln -s etc "$1"', shared);
    await expectFailure(copy, 'TARGET_UNSAFE', /moved its folder/);
    expect(stage.tool('ls', 'coreutils', ['-A', etc])).toBe('');
  }));

test('stranger - a link of somebody else as the target, or on the way to it, is refused by name', () =>
  onStage(async (stage) => {
    const { shared, base, image } = sceneOf(stage);
    const passwd = join(base, 'passwd');
    writeFileSync(passwd, 'root’s own', { mode: 0o644 });
    asStranger('ln -s ../passwd "$1/a"; ln -s .. "$1/b"', shared);
    for (const target of [join(shared, 'a'), join(shared, 'b/passwd'), join(shared, 'b/new')]) {
      const copy = stage.copyJson('--yes', image.path, target);
      await expectFailure(copy, 'TARGET_UNSAFE', /symbolic link .*shared\/[ab] of user 4711; name the file/);
    }
    expect(readFileSync(passwd, 'utf8')).toBe('root’s own');
    // Links of root and of the user are followed as before.
    symlinkSync('../passwd', join(shared, 'own'));
    await stage.copyJson('--yes', image.path, join(shared, 'own')).good();
    expect(stage.difference(passwd, image.content)).toBe(null);
  }));

test('stranger - a file put under the final name does not get the copy, with --yes neither', () =>
  onStage(async (stage) => {
    const { target, image } = sceneOf(stage);
    asStranger('umask 0; echo mine > "$1"', target);
    const copy = stage.copyJson('--yes', image.path, target);
    await expectFailure(copy, 'TARGET_PERMISSION', /belongs to user 4711.*would get the copy/);
    expect(readFileSync(target, 'utf8')).toBe('mine\n');
  }));

test('stranger - a new target allows no more than its source: lists of the folder, its group, a key, a server', () =>
  onStage(async (stage) => {
    const { shared, image } = sceneOf(stage, 0o777);
    chmodSync(image.path, 0o640);
    // acl(5) in the kernel's form: what is made in the folder can be read and written by the stranger.
    const list = accessList([
      [ACL.owner, 7, -1],
      [ACL.user, 6, STRANGER],
      [ACL.group, 7, -1],
      [ACL.mask, 7, -1],
      [ACL.others, 7, -1],
    ]);
    setAttribute(Buffer.from(shared), { name: 'system.posix_acl_default', value: list });
    await stage.copyJson(image.path, join(shared, 'listed')).good();
    expect(readByStranger(join(shared, 'listed'))).toBe(null);
    const group = join(shared, 'group');
    mkdirSync(group);
    chownSync(group, 0, STRANGER);
    chmodSync(group, 0o2777);
    await stage.copyJson(image.path, join(group, 'a')).good();
    expect(statSync(join(group, 'a'))).toMatchObject({ gid: STRANGER });
    expect(readByStranger(join(group, 'a'))).toBe(null);
    const server = await stage.nbdkit({ plugin: ['file', image.path] });
    await stage.copyJson(server.uri, join(shared, 'served')).good();
    expect(statSync(join(shared, 'served')).mode & 0o777).toBe(0o600);
  }));

test('stranger - another folder takes the place of the one that was checked', () =>
  onStage(async (stage) => {
    const { shared, base, image } = sceneOf(stage);
    // The question at the terminal is the moment: it is answered when the folder has been swapped.
    const program = `
import { copy } from 'understudy';
import { renameSync, symlinkSync } from 'node:fs';
const [source, target, shared, other] = process.argv.slice(1);
const swap = async () => { renameSync(shared, shared + '.was'); symlinkSync(other, shared); return true; };
const { targets: [{ error }] } = await copy({ source, targets: [target], confirm: swap });
process.stdout.write(error.code + ' ' + error.message);
`;
    const other = join(base, 'other');
    mkdirSync(other);
    writeFileSync(join(shared, 'a'), 'old');
    copyFileSync(join(shared, 'a'), join(other, 'a'));
    const told = stage.tool('env', 'coreutils', [
      `XDG_STATE_HOME=${stage.state}`,
      `UNDERSTUDY_RUNTIME_DIR=${stage.runtime}`,
      `UNDERSTUDY_STAGE=${basename(stage.folder).slice(-6)}`,
      ...[process.execPath, '--input-type=module', '-e', program, image.path, join(shared, 'a'), shared, other],
    ]);
    expect(told).toMatch(/^TARGET_(UNSAFE|KIND) /);
    expect(readFileSync(join(other, 'a'), 'utf8')).toBe('old');
    renameSync(`${shared}.was`, join(base, 'gone'));
    await eventually('the reader has ended', () => stage.producers.length === 0);
  }));

test('stranger - a source over a link of somebody else in an open folder, or that the kernel makes up, is refused', () =>
  onStage(async (stage) => {
    const { shared, base, image } = sceneOf(stage, 0o1777);
    asStranger('ln -s "$1" "$2/image"', image.path, shared);
    const planted = stage.copyJson(join(shared, 'image'), join(base, 'a'));
    await expectFailure(
      planted,
      'SOURCE_UNREADABLE',
      /symbolic link of user 4711 .*everybody can write; name the file/,
    );
    symlinkSync(image.path, join(shared, 'own'));
    await stage.copyJson(join(shared, 'own'), join(base, 'a')).good();
    await expectFailure(stage.copyJson('/proc/version', join(base, 'b')), 'SOURCE_KIND', /the kernel makes up/);
  }));
