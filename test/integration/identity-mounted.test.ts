// Goal: what only the kernel can read is read and changed as everything else is, when somebody allowed it; and a
// program of the image runs in the image, and nowhere else.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createIdentityEngine, type IdentityEngine, ruleSet } from '../../src/identity/mod.ts';
import { makeFile, run } from '../support/disk-image.ts';
import {
  type Content,
  checkImage,
  digestOfFile,
  LEAD,
  MACHINE_ID,
  makeImage,
  SPARE,
  sshKeyFiles,
  systemFiles,
  writeTree,
} from '../support/system-image.ts';

const MIB = 1024 * 1024;
const START_BYTES = MIB;
const signal = new AbortController().signal;
const request = { lead: LEAD, understudy: SPARE };
let keysFolder: string;
let keys: Readonly<Record<string, Content>>;
let folder: string;
let engine: IdentityEngine;

beforeAll(() => {
  keysFolder = mkdtempSync(join(tmpdir(), 'understudy-mounted-keys-'));
  keys = sshKeyFiles(keysFolder, ['ed25519']);
});
afterAll(() => rmSync(keysFolder, { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-mounted-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Kind {
  readonly type: 'xfs' | 'btrfs';
  readonly place: 'bare' | 'partition';
  /** The root lies in a subvolume of this name. */
  readonly subvolume?: string;
}

const MAKE = { xfs: ['mkfs.xfs', '-q', '-f'], btrfs: ['mkfs.btrfs', '-q', '-f'] } as const;

/** A system in a file system of this kind, by the tools that people make theirs with. */
function makeSystem({ type, place, subvolume }: Kind, unclean = false): string {
  const kernel = { [`/boot/${MACHINE_ID}/6.1/${MACHINE_ID}-linux`]: 'kernel\n' };
  const tree = writeTree(join(folder, 'tree'), { ...systemFiles(), ...keys, ...kernel });
  const part = makeFile(join(folder, 'part'), 320 * MIB);
  const [mkfs, ...flags] = MAKE[type];
  run(mkfs, [...flags, part]);
  const root = subvolume === undefined ? '' : `/${subvolume}`;
  const make = subvolume === undefined ? '' : `btrfs -q subvolume create $M${root}; `;
  // The bytes of a disk whose host lost its power after a flush: the kernel writes its log, and from then on nothing.
  // (A copy of what is mounted is of several moments, and now and then one that no log can mend.)
  const take = unclean ? `echo 10.0.0.11 > $M/etc/late; sync -f $M; xfs_io -x -c 'shutdown -f' $M; ` : '';
  inMount(part, `${make}cp -a "${tree}/." $M${root}; ${take}`);
  if (place === 'bare') return part;
  const disk = makeFile(join(folder, 'disk'), 322 * MIB);
  run('sfdisk', ['-q', disk], `label: gpt\nstart=2048, size=${(320 * MIB) / 512}\n`);
  run('dd', [`if=${part}`, `of=${disk}`, `bs=${START_BYTES}`, 'seek=1', 'conv=notrunc,sparse', 'status=none']);
  return disk;
}

function inMount(image: string, script: string, offset = 0, subvolume = ''): string {
  const options = `loop,offset=${offset}${subvolume === '' ? '' : `,subvol=${subvolume}`}`;
  const whole = `set -e; M=$(mktemp -d); mount -o ${options} "$1" $M; trap 'umount $M; rmdir $M' EXIT; ${script}`;
  return run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', whole, 'sh', image]);
}

describe('file systems that the kernel mounts', () => {
  test.each<Kind>([
    { type: 'xfs', place: 'bare' },
    { type: 'xfs', place: 'partition' },
    { type: 'btrfs', place: 'bare' },
    { type: 'btrfs', place: 'partition', subvolume: '@' },
  ])('$type, $place $subvolume', async (kind) => {
    const image = makeSystem(kind);
    const offset = kind.place === 'bare' ? 0 : START_BYTES;
    const before = digestOfFile(image);
    const inspection = await engine.inspect(image, LEAD, signal);
    expect(inspection.os).toEqual({ id: 'debian', version: '12', arch: 'x86_64' });
    const plan = await engine.plan(image, request, signal);
    expect((await engine.verify(image, request, plan, signal)).verified).toBe(false);
    expect(digestOfFile(image)).toBe(before);

    await engine.apply(image, plan, signal);
    expect(await engine.verify(image, request, plan, signal)).toEqual({ verified: true, problems: [] });
    const id = plan.proof.machineId;
    const look = `cat $M/etc/hostname $M/boot/${id}/6.1/${id}-linux; grep address $M/etc/network/interfaces; ls $M/boot`;
    const seen = inMount(image, look, offset, kind.subvolume);
    expect(seen).toContain('spare1\nkernel\n');
    expect(seen).not.toContain(MACHINE_ID);
    expect(seen).toContain('address 10.0.0.12/24');

    const after = digestOfFile(image);
    await engine.apply(image, plan, signal);
    expect(digestOfFile(image)).toBe(after);
  });

  test('what is in the log only is seen, and replayed in the overlay', async () => {
    const image = makeSystem({ type: 'xfs', place: 'bare' }, true);
    const before = digestOfFile(image);
    const plan = await engine.plan(image, request, signal);
    expect(plan.unknown.map(({ path }) => path)).toEqual(['/etc/late']);
    expect(digestOfFile(image)).toBe(before);
    await engine.apply(image, plan, signal);
    expect(inMount(image, 'cat $M/etc/hostname $M/etc/late')).toBe('spare1\n10.0.0.11\n');
  });

  test('without the word of somebody nothing is mounted, and the message says what it takes', async () => {
    const image = makeSystem({ type: 'xfs', place: 'bare' });
    const careful = createIdentityEngine({ stateFolder: join(folder, 'state') });
    await expect(careful.inspect(image, LEAD, signal)).rejects.toMatchObject({
      code: 'IMAGE_UNSUPPORTED',
      message: expect.stringContaining('--kernel-mount') as string,
    });
  });

  test('a file system that is damaged is refused, and the image is as it was', async () => {
    const image = makeSystem({ type: 'xfs', place: 'bare' });
    run('dd', ['if=/dev/urandom', `of=${image}`, 'bs=64K', 'seek=1', 'count=20', 'conv=notrunc', 'status=none']);
    const before = digestOfFile(image);
    await expect(engine.inspect(image, LEAD, signal)).rejects.toMatchObject({ code: 'IMAGE_DAMAGED' });
    expect(digestOfFile(image)).toBe(before);
  });

  test('a crash while it is written leaves what the next call completes', async () => {
    const image = makeSystem({ type: 'xfs', place: 'partition' });
    const plan = await engine.plan(image, request, signal);
    const stops = createIdentityEngine({
      stateFolder: join(folder, 'state'),
      kernelMount: true,
      onStep: (step) => {
        if (step.startsWith('write block')) throw new Error('the power is gone');
      },
    });
    await expect(stops.apply(image, plan, signal)).rejects.toThrow('the power is gone');
    await engine.apply(image, plan, signal);
    expect(await engine.verify(image, request, plan, signal)).toEqual({ verified: true, problems: [] });
    expect(inMount(image, 'cat $M/etc/hostname', START_BYTES)).toBe('spare1\n');
  });
});

/** Makes /etc/shop/id anew, and writes down what it could do that it should not be able to. */
const PROGRAM = `
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
static void could(FILE *to, const char *what, int worked) { fprintf(to, "%s %s\\n", what, worked ? "yes" : "no"); }
int main(int count, char **words) {
  if (count > 2 && strcmp(words[2], "fail") == 0) { fprintf(stderr, "no licence\\n"); return 7; }
  if (count > 2 && strcmp(words[2], "nothing") == 0) return 0;
  FILE *report = fopen("/report", "w");
  could(report, "sysctl", open("/proc/sys/kernel/core_pattern", O_WRONLY) >= 0);
  could(report, "device", mknod("/disk", S_IFBLK | 0600, makedev(7, 0)) == 0);
  could(report, "mount", mount("none", "/mnt", "tmpfs", 0, NULL) == 0);
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(22) };
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  could(report, "network", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to) == 0);
  could(report, "outside", access(OUTSIDE, F_OK) == 0);
  could(report, "chown", chown("/report", 33, 33) == 0);
  fprintf(report, "pid %d\\n", (int)getpid());
  fclose(report);
  FILE *id = fopen("/etc/shop/id", "w");
  fprintf(id, "id=%s-%s\\n", getenv("UNDERSTUDY_HOST_NAME"), words[1]);
  if (fclose(id) != 0) return 1;
  if (count > 2 && strcmp(words[2], "linger") == 0) for (int left = 100; left > 0; left--) if (fork() == 0) {
    for (int file = 0; file < 3; file++) close(file);
    memset(malloc(4 << 20), 1, 4 << 20);
    pause();
  }
  return 0;
}
`;

describe('a program of the image', () => {
  const RULE = {
    name: 'shop-id',
    why: 'Two shops with one id book each order twice.',
    path: ['/etc/shop/id'],
    secret: false,
    action: 'run',
    units: [],
  } as const;

  function shop(mode = 'work'): { image: ReturnType<typeof makeImage>; own: IdentityEngine } {
    writeFileSync(join(folder, 'outside'), 'a file of this machine');
    writeFileSync(join(folder, 'shop.c'), PROGRAM);
    const program = join(folder, 'shop-id');
    const outside = `-DOUTSIDE="${join(folder, 'outside')}"`;
    execFileSync('gcc', ['-static', '-O1', outside, '-o', program, join(folder, 'shop.c')]);
    const files = {
      ...systemFiles(),
      ...keys,
      '/etc/shop/id': 'id=web1-secret\n',
      '/usr/sbin/shop-id': { text: readFileSync(program), mode: 0o755 },
      '/mnt/empty': '',
      ...Object.fromEntries(['proc', 'dev', 'run', 'tmp'].map((name) => [`/${name}/.keep`, ''])),
    };
    const image = makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), files), {});
    const rules = ruleSet('shop.yaml', [{ ...RULE, run: ['/usr/sbin/shop-id', '{{hostName}}', mode] }], {
      canRun: true,
    });
    return { image, own: createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true, rules }) };
  }

  test('runs in it with the variables of the host, has rights there and nowhere else, and runs once', async () => {
    const { image, own } = shop();
    const plan = await own.plan(image.path, request, signal);
    expect(own.show(plan)).toContain('run in the image (shop-id), for /etc/shop/id\n  /usr/sbin/shop-id spare1 work\n');
    await own.apply(image.path, plan, signal);
    expect(checkImage(image)).toBe('');
    const seen = inMount(image.path, 'cat $M/etc/shop/id $M/report; stat -c "%u" $M/report; ls -A $M/run $M/dev');
    expect(seen.split('\n').slice(0, 9)).toEqual([
      'id=spare1-spare1',
      'sysctl no',
      'device no',
      'mount no',
      'network no',
      'outside no',
      'chown yes',
      'pid 2',
      '33',
    ]);
    expect(existsSync('/report')).toBe(false);
    expect(await own.verify(image.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
    const after = digestOfFile(image.path);
    await own.apply(image.path, plan, signal);
    expect(digestOfFile(image.path)).toBe(after);
  });

  test('may leave processes behind: the file system is read only when the last of them has let it go', async () => {
    const { image, own } = shop('linger');
    const plan = await own.plan(image.path, request, signal);
    await own.apply(image.path, plan, signal);
    expect(checkImage(image)).toBe('');
    expect(inMount(image.path, 'cat $M/etc/shop/id')).toBe('id=spare1-spare1\n');
  });

  test.each([
    ['fail', 'ended with status 7: no licence'],
    ['nothing', 'what /usr/sbin/shop-id is run for could not be changed'],
  ])('that does %s changes no image', async (mode, message) => {
    const { image, own } = shop(mode);
    const plan = await own.plan(image.path, request, signal);
    const before = digestOfFile(image.path);
    await expect(own.apply(image.path, plan, signal)).rejects.toMatchObject({
      code: 'IDENTITY_FAILED',
      message: expect.stringContaining(message) as string,
    });
    expect(digestOfFile(image.path)).toBe(before);
  });

  test('takes the word of somebody', async () => {
    const { image, own } = shop();
    const plan = await own.plan(image.path, request, signal);
    const before = digestOfFile(image.path);
    await expect(engineWithout().apply(image.path, plan, signal)).rejects.toMatchObject({ code: 'IMAGE_UNSUPPORTED' });
    expect(digestOfFile(image.path)).toBe(before);
    const run = ['/usr/sbin/shop-id', '{{hostName}}'];
    expect(() => ruleSet('shop.yaml', [{ ...RULE, run }], { canRun: false })).toThrow('takes a kernel mount');
  });

  function engineWithout(): IdentityEngine {
    return createIdentityEngine({ stateFolder: join(folder, 'state') });
  }
});
