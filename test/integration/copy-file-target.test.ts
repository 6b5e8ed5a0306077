// A file target: what stands in its way, what becomes of the file that it replaces, and to whom it belongs.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { attributesOf, setAttribute } from '../../src/linux/mod.ts';
import { ACL, accessList } from '../rig/access-list.ts';
import type { CopyProcess } from '../rig/copy-process.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];
const ALL = 0o777;
/** A user without a name, and a group that is not its own. */
const USER = 4711;
const GROUP = 4712;

/** A program that agrees to every question. */
const AGREE = `
import { copy } from 'understudy';
const [source, target] = process.argv.slice(1);
const { targets: [{ error }] } = await copy({ source, targets: [target], confirm: async () => true });
process.stdout.write(error.code + ' ' + error.message);
`;

function accessOf(path: string): { uid: number; gid: number; mode: number } {
  const { uid, gid, mode } = statSync(path);
  return { uid, gid, mode: mode & ALL };
}

/** A copy that has begun and goes on for some seconds. */
async function begun(stage: Stage, source: string, ...args: readonly string[]): Promise<CopyProcess> {
  const copy = stage.copyJson(...SHAPE, '--limit', '1M', source, ...args);
  await stage.sees('blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 60);
  return copy;
}

test.concurrent('file - owner, group, permissions, access control list and user attributes of an overwritten one stay', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const target = stage.target('a');
    writeFileSync(target, 'private');
    chownSync(target, USER, GROUP);
    chmodSync(target, 0o640);
    // acl(5) in the kernel's form: owner rw, user 4713 r, group none, mask r, others none.
    const list = accessList([
      [ACL.owner, 6, -1],
      [ACL.user, 4, 4713],
      [ACL.group, 0, -1],
      [ACL.mask, 4, -1],
      [ACL.others, 0, -1],
    ]);
    setAttribute(Buffer.from(target), { name: 'system.posix_acl_access', value: list });
    setAttribute(Buffer.from(target), { name: 'user.note', value: Buffer.from('keep me') });
    const before = { ...accessOf(target), attributes: attributesOf(Buffer.from(target)) };
    const copy = await begun(stage, image.path, '--yes', target);
    expect(accessOf(`${target}.partial`).mode).toBe(0o600);
    expect((await copy.good()).notes).toEqual([]);
    expect({ ...accessOf(target), attributes: attributesOf(Buffer.from(target)) }).toEqual(before);
    expect(before).toMatchObject({ uid: USER, gid: GROUP, mode: 0o640 });
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent.each([
  [0o600, '022', 0o600],
  [0o666, '022', 0o644],
  [0o644, '077', 0o600],
  [0o664, '002', 0o664],
])('file - a new one has the permissions of the source %o narrowed by the umask %s', (mode, umask, expected) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    chmodSync(image.path, mode);
    const wrap = ['sh', '-c', `umask ${umask}; exec "$@"`, 'sh'];
    await stage.copy(['--json', '--quiet', image.path, stage.target('a')], { wrap }).good();
    expect(accessOf(stage.target('a')).mode).toBe(expected);
  }),
);

const QCOW2 = ['-q', '-f', 'qcow2'];
test.concurrent.each([
  ['a backing file', (base: string) => ['create', ...QCOW2, '-F', 'raw', '-b', base], [], 0o600],
  ['a data file', (base: string) => ['create', ...QCOW2, '-o', `data_file_raw=on,data_file=${base}`], [MIB], 0o600],
  ['nothing beside it', (base: string) => ['convert', '-f', 'raw', '-O', 'qcow2', base], [], 0o644],
] as const)(
  'file - of an image with %s: readable by nobody who may not read each of its files',
  (_, make, size, expected) =>
    onStage(async (stage) => {
      const base = stage.image('base.img', MIB);
      chmodSync(base.path, 0o600);
      const image = join(dirname(base.path), 'image.qcow2');
      execFileSync('qemu-img', [...make(base.path), image, ...size.map(String)], { stdio: 'ignore' });
      // A data file is made empty.
      writeFileSync(base.path, base.content);
      chmodSync(image, 0o644);
      const wrap = ['sh', '-c', 'umask 022; exec "$@"', 'sh'];
      await stage.copy(['--json', '--quiet', image, stage.target('a')], { wrap }).good();
      expect(readFileSync(stage.target('a')).equals(base.content)).toBe(true);
      expect(accessOf(stage.target('a')).mode).toBe(expected);
    }),
);

test.concurrent('file - what comes from a pipe is readable as the umask lets it', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const copy = stage.copy(['--json', '--quiet', '-', stage.target('a')], {
      stdin: 'pipe',
      wrap: ['sh', '-c', 'umask 027; exec "$@"', 'sh'],
    });
    copy.child.stdin?.end(image.content);
    await copy.good();
    expect(accessOf(stage.target('a')).mode).toBe(0o640);
  }));

test.concurrent('file - who may not keep the owner is refused before anything is written, unless with --yes', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    // Root without the right to change owners, but with that to write what belongs to others.
    const wrap = ['setpriv', '--bounding-set=-chown', '--inh-caps=-chown', '--'];
    const target = stage.target('a');
    const old = stage.allow(Buffer.from('somebody else'));
    writeFileSync(target, old);
    chownSync(target, USER, GROUP);
    chmodSync(target, 0o664);
    // Somebody at a terminal agrees that the content is lost; that is no leave to take the file from its owner.
    const [program = '', ...args] = [...wrap, process.execPath, '--input-type=module', '-e', AGREE, image.path, target];
    const agreed = spawnSync(program, args, { encoding: 'utf8', env: stage.env });
    expect(agreed.stdout).toMatch(/TARGET_PERMISSION .*user 4711 and group 4712.*--yes/);
    expect(readFileSync(target).equals(old)).toBe(true);
    expect(stage.targets).toEqual(['a']);
    const kept = await stage.copy(['--json', '--quiet', '--yes', image.path, target], { wrap }).good();
    expect(kept.notes.join()).toContain(`owner ${USER}:${GROUP} could not be kept`);
    // Group write was for the group that it has no more.
    expect(accessOf(target)).toEqual({ uid: 0, gid: 0, mode: 0o644 });
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent('file - somebody’s own NAME.partial is refused by name, whatever is asked for', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const foreign = `${stage.target('a')}.partial`;
    const befalls: readonly (() => void)[] = [
      () => writeFileSync(foreign, 'mine'),
      () => writeFileSync(foreign, 'mine', { mode: 0o600 }),
      // Empty, but not private: touch(1) made it.
      () => writeFileSync(foreign, '', { mode: 0o644 }),
      () => {
        writeFileSync(foreign, '', { mode: 0o600 });
        linkSync(foreign, stage.path('second-name'));
      },
      () => symlinkSync(image.path, foreign),
    ];
    for (const befall of befalls) {
      rmSync(foreign, { force: true });
      befall();
      const before = lstatSync(foreign);
      for (const flags of [[], ['--yes'], ['--resume'], ['--resume', '--yes']]) {
        const copy = stage.copyJson(...flags, image.path, stage.target('a'));
        const code = before.isSymbolicLink() ? 'TARGET_IS_SOURCE' : 'TARGET_PARTIAL_FOREIGN';
        await expectFailure(copy, code, /a\.partial/);
      }
      expect(lstatSync(foreign)).toMatchObject({ ino: before.ino, size: before.size, mtimeMs: before.mtimeMs });
      expect(stage.targets).toEqual(['a.partial']);
    }
  }));

test.concurrent('file - a NAME.partial that took the place of the one of an interrupted copy is foreign too', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const copy = await begun(stage, image.path, stage.target('a'));
    copy.signal('SIGINT');
    await copy.ended;
    const partial = `${stage.target('a')}.partial`;
    rmSync(partial);
    writeFileSync(partial, 'mine', { mode: 0o600 });
    await expectFailure(stage.copyJson('--resume', image.path, stage.target('a')), 'TARGET_PARTIAL_FOREIGN', /partial/);
    expect(readFileSync(partial, 'utf8')).toBe('mine');
  }));

test.concurrent('file - an empty private one that a copy left when it was killed before its record is used', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    writeFileSync(`${stage.target('a')}.partial`, '', { mode: 0o600 });
    await stage.copyJson(image.path, stage.target('a')).good();
    expect(stage.targets).toEqual(['a']);
  }));

test.concurrent('file - a record that names the provisional file is there before its first byte', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const copy = await begun(stage, image.path, stage.target('a'));
    expect(stage.targets).toEqual(['a.partial', 'a.partial.resume']);
    const { dev, ino } = statSync(`${stage.target('a')}.partial`);
    expect(readFileSync(`${stage.target('a')}.partial.resume`, 'latin1')).toContain(`"target":"file:${dev}:${ino}:`);
    await copy.kill('SIGKILL');
    const resumed = await stage.copyJson('--resume', ...SHAPE, image.path, stage.target('a')).good();
    expect(resumed.notes.join()).toContain('had not recorded any block');
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent('file - nothing is left after a refusal', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    await expectFailure(stage.copyJson('--bytes', '2M', image.path, stage.target('a')), 'USAGE', /2097152/);
    // Refused by the system when it is to get its size, after its provisional file and record were made.
    const wrap = ['prlimit', `--fsize=${MIB - 4096}`, '--'];
    const limited = stage.copy(['--json', '--quiet', ...SHAPE, image.path, stage.target('a')], { wrap });
    await expectFailure(limited, 'TARGET_FULL', /ulimit -f/);
    expect(stage.targets).toEqual([]);
    const target = stage.target('b');
    writeFileSync(target, stage.allow(Buffer.from('old')));
    await expectFailure(stage.copyJson(image.path, target), 'TARGET_NOT_CONFIRMED', /holds/);
    expect(stage.targets).toEqual(['b']);
  }));

test.concurrent('file - a name that appeared during the copy is not replaced, and the image is kept', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const target = stage.target('a');
    const copy = await begun(stage, image.path, target);
    writeFileSync(target, stage.allow(Buffer.from('somebody made this')));
    await expectFailure(copy, 'TARGET_NOT_CONFIRMED', /not replaced.*a\.partial/);
    expect(readFileSync(target, 'utf8')).toBe('somebody made this');
    expect(accessOf(`${target}.partial`).mode).toBe(0o600);
    const again = await stage.copyJson('--resume', '--yes', ...SHAPE, image.path, target).good();
    expect(again).toMatchObject({ bytesReused: 4 * MIB, bytesCopied: 0 });
    expect(stage.difference('a', image.content)).toBe(null);
    expect(stage.targets).toEqual(['a']);
  }));

test.concurrent('file - leave to overwrite a file is leave for that file, not for what takes its name during the copy', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const target = stage.target('a');
    writeFileSync(target, 'agreed');
    const copy = await begun(stage, image.path, '--yes', target);
    writeFileSync(stage.path('other'), stage.allow(Buffer.from('another')));
    renameSync(stage.path('other'), target);
    await expectFailure(copy, 'TARGET_NOT_CONFIRMED', /not replaced/);
    expect(readFileSync(target, 'utf8')).toBe('another');
    // One that has gone meanwhile needs no leave.
    const second = await begun(stage, image.path, '--yes', stage.target('a'));
    rmSync(target);
    await second.good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent('file - links: a symbolic one stays and what it names is replaced; other names of a file keep its content', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const old = stage.allow(Buffer.from('old'));
    writeFileSync(stage.target('real'), old);
    linkSync(stage.target('real'), stage.target('twin'));
    symlinkSync('real', stage.target('link'));
    await expectFailure(stage.copyJson(image.path, stage.target('link')), 'TARGET_NOT_CONFIRMED', /under 1 other name/);
    await stage.copyJson('--yes', image.path, stage.target('link')).good();
    expect(readlinkSync(stage.target('link'))).toBe('real');
    expect(stage.difference('real', image.content)).toBe(null);
    expect(readFileSync(stage.target('twin')).equals(old)).toBe(true);
  }));

test.concurrent.each(['x'.repeat(255), 'x'.repeat(240), 'ä'.repeat(127)])(
  'file - a name as long as a file system takes: %s',
  (name) =>
    onStage(async (stage) => {
      const image = stage.image('golden.img', 4 * MIB);
      const copy = await begun(stage, image.path, stage.target(name));
      copy.signal('SIGINT');
      expect((await copy.result()).targets[0]).toMatchObject({ resumable: true });
      const target = await stage.copyJson('--resume', ...SHAPE, image.path, stage.target(name)).good();
      expect(target.bytesReused).toBeGreaterThan(0);
      expect(stage.targets).toEqual([name]);
      expect(existsSync(stage.target(name))).toBe(true);
    }),
);

const MAY_READ = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];

test.concurrent('file - a second user is refused on a block device that is being written', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(4 * MIB));
    const device = stage.loop(stage.path('disk'));
    const copy = await begun(stage, image.path, device);
    // It holds the device as long as the other one needs to start.
    copy.signal('SIGSTOP');
    // Nothing but the device itself joins the two: another runtime folder, another user's records.
    // Temporary folders of the run may be closed to all but their owner.
    const open = mkdtempSync('/tmp/understudy-open-');
    stage.defer(() => rmSync(open, { recursive: true, force: true }));
    chmodSync(open, 0o755);
    const runtime = join(open, 'runtime');
    mkdirSync(runtime, { mode: 0o700 });
    chownSync(runtime, USER, USER);
    const source = join(open, 'golden.img');
    copyFileSync(image.path, source);
    const [major = '', minor = ''] = readFileSync(`/sys/class/block/${basename(device)}/dev`, 'utf8')
      .trim()
      .split(':');
    const node = join(open, 'node');
    stage.tool('mknod', 'coreutils', ['--mode=666', node, 'b', major, minor]);
    const other = stage.copy(['--json', '--quiet', '--yes', source, node], {
      // It may read the program, wherever that lies, and nothing else that the user may not.
      wrap: ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', ...MAY_READ, '--'],
      env: {
        UNDERSTUDY_RUNTIME_DIR: runtime,
        UNDERSTUDY_PRODUCER_LOG: `${runtime}/log`,
        XDG_STATE_HOME: runtime,
        HOME: runtime,
      },
    });
    await expectFailure(other, 'TARGET_IN_USE', /held exclusively/);
    copy.signal('SIGCONT');
    await copy.good();
    expect(stage.difference(device, image.content)).toBe(null);
  }));
