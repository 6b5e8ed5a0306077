// Giving an image another identity when something goes wrong: the process is killed at every step, a tool hangs or
// fails, the image is damaged, or somebody made it to do harm. It is always one host or the other, and nothing outside
// of it is read or written.
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf, requireTool, runTool, seededRandom } from '../../src/base/mod.ts';
import { builtinRules, createEngineHere, createIdentityEngine, type IdentityEngine } from '../../src/identity/mod.ts';
import { commandsWith } from '../rig/machines.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { compiled } from '../support/source-client.ts';
import {
  type Content,
  catFile,
  checkImage,
  digestOfFile,
  LEAD,
  makeDirty,
  makeImage,
  SPARE,
  type SystemImage,
  sshKeyFiles,
  systemFiles,
  writeTree,
} from '../support/system-image.ts';

const { signal } = new AbortController();
const request = { lead: LEAD, understudy: SPARE };
const SEED = 20_261_126;
const MIB = 1024 * 1024;
/** Seconds for sleep(1), by which it is known. */
const HANG = '98765.4321';
/** The smallest in which ext4 has a journal with room. */
const SIZE_BYTES = 16 * MIB;

let folder: string;
let engine: IdentityEngine;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-identity-fault-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
});
afterEach(() => {
  // Nothing that was started for an image in it goes on.
  const left = [...commandsWith(folder).values()].map((args) => args.join(' '));
  rmSync(folder, { recursive: true, force: true });
  expect(left).toEqual([]);
});

function system(files: Readonly<Record<string, Content | null>> = {}): SystemImage {
  const keys = sshKeyFiles(folder, ['ed25519']);
  const tree = writeTree(join(folder, 'tree'), { ...systemFiles(), ...keys, ...files });
  return makeImage(join(folder, 'image'), tree, { sizeBytes: SIZE_BYTES });
}

function copyOf(image: SystemImage, name: string): SystemImage {
  const path = join(folder, name);
  copyFileSync(image.path, path);
  return { ...image, path, ext: path };
}

/** A folder with a program of this name that is found before the real one, while the work lasts. */
async function withProgram(name: string, script: string, work: () => Promise<void>): Promise<void> {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${bin}:${before}`;
  try {
    await work();
  } finally {
    process.env.PATH = before;
  }
}

describe('an identity whose giving is cut off', () => {
  test.each([
    ['a journal that waits', true],
    ['nothing to repair', false],
  ])(
    'identity - SIGKILL before every step, %s: the image is the one host or the other, and the next try completes it',
    async (_, isDirty) => {
      const original = system();
      if (isDirty) makeDirty(original, 'echo waiting > $M/etc/motd; sync $M/etc/motd');
      const plan = await engine.plan(original.path, request, signal);
      const before = await engine.inspect(original.path, LEAD, signal);
      const planFile = join(folder, 'plan.json');
      writeFileSync(planFile, JSON.stringify(plan));
      const apply = (image: SystemImage, step: number) =>
        runTool(process.execPath, [
          compiled('identity-user'),
          image.path,
          join(folder, 'state'),
          planFile,
          String(step),
        ]);
      const whole = await apply(copyOf(original, 'whole'), 0);
      const steps = Number(whole.stdout);
      expect(whole).toMatchObject({ status: 0, stderr: '' });
      expect(steps).toBeGreaterThan(8);
      let completed = 0;
      for (let step = 1; step <= steps; step += 1) {
        const image = copyOf(original, 'killed');
        expect((await apply(image, step)).status, `step ${step}`).toBe(null);
        const { verified } = await engine.verify(image.path, request, plan, signal);
        if (verified) completed += 1;
        else expect(await engine.inspect(image.path, LEAD, signal), `step ${step}`).toEqual(before);
        await engine.apply(image.path, plan, signal);
        expect(await engine.verify(image.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
        expect(checkImage(image)).toBe('');
        expect(catFile(image, '/etc/hostname')).toBe('spare1\n');
        rmSync(image.path);
      }
      // Some of the steps lie after the point from which it goes forward only.
      expect(completed).toBeGreaterThan(0);
      expect(completed).toBeLessThan(steps);
      // What was made for a look only goes when it is old: somebody may still be looking.
      expect(readdirSync(join(folder, 'state')).filter((name) => !name.startsWith('work-look-'))).toEqual([]);
    },
    240_000,
  );

  test('identity - stopped while a tool hangs: the tool is ended, and the image is as it was', async () => {
    const image = system();
    const plan = await engine.plan(image.path, request, signal);
    const digest = digestOfFile(image.path);
    await withProgram('debugfs', `exec sleep ${HANG}`, async () => {
      const stop = new AbortController();
      const applied = engine.apply(image.path, plan, stop.signal).then(
        () => null,
        (error: unknown) => codeOf(error),
      );
      await eventually('debugfs runs', () => commandsWith(HANG).size > 0);
      stop.abort();
      expect(await applied).toBe('INTERRUPTED');
      expect(commandsWith(HANG).size).toBe(0);
    });
    expect(digestOfFile(image.path)).toBe(digest);
    await engine.apply(image.path, plan, signal);
    expect((await engine.verify(image.path, request, plan, signal)).verified).toBe(true);
  });

  test.each([
    ['debugfs', 'echo "debugfs: No space left" >&2', 'IDENTITY_FAILED'],
    ['debugfs', 'kill -KILL $$', 'IDENTITY_FAILED'],
    ['debugfs', 'exec yes', 'IDENTITY_FAILED'],
    ['e2fsck', 'echo "Inode 12 is odd"; exit 8', 'IMAGE_DAMAGED'],
    ['qemu-img', 'echo "no space left" >&2; exit 1', 'IDENTITY_FAILED'],
  ])('identity - %s that does "%s" leaves the image as it was', async (name, script, code) => {
    const image = system();
    const plan = await engine.plan(image.path, request, signal);
    const digest = digestOfFile(image.path);
    await withProgram(name, script, async () => {
      await expect(engine.apply(image.path, plan, signal)).rejects.toMatchObject({ code });
    });
    expect(digestOfFile(image.path)).toBe(digest);
    await engine.apply(image.path, plan, signal);
    expect((await engine.verify(image.path, request, plan, signal)).verified).toBe(true);
  });

  test('identity - an image that changed since the plan is not changed further', async () => {
    const image = system();
    const plan = await engine.plan(image.path, request, signal);
    await runTool('/usr/sbin/debugfs', ['-w', '-R', 'rm /etc/hostname', image.path]);
    const digest = digestOfFile(image.path);
    const failure = { code: 'IDENTITY_FAILED', message: expect.stringContaining('/etc/hostname has changed since') };
    await expect(engine.apply(image.path, plan, signal)).rejects.toMatchObject(failure);
    expect(digestOfFile(image.path)).toBe(digest);
  });
});

describe('a file system that says it is whole', () => {
  const content = Array.from({ length: 4000 }, (_, line) => `line ${line} of what must not change`).join('\n');
  const debugfs = (image: SystemImage, request: string) =>
    runTool('/usr/sbin/debugfs', ['-w', '-R', request, image.path]);

  test.each([
    ['and is', null, 1],
    [
      'but whose used blocks count as free: repaired first, for whatever is written would go over them',
      'freeb 1 6000',
      2,
    ],
  ])('identity - %s', async (_, damage, attempts) => {
    const image = system({ '/etc/large': content });
    const plan = await engine.plan(image.path, request, signal);
    if (damage !== null) await debugfs(image, damage);
    const steps: string[] = [];
    const stateFolder = join(folder, 'state');
    await createIdentityEngine({ stateFolder, onStep: (step) => void steps.push(step) }).apply(
      image.path,
      plan,
      signal,
    );
    expect(steps.filter((step) => step === 'repair').length).toBe(attempts);
    expect(await engine.verify(image.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
    expect(checkImage(image)).toBe('');
    expect(catFile(image, '/etc/large')).toBe(content);
  });

  test('identity - but has lost a folder, which no program may decide about: the image is as it was', async () => {
    const image = system({ '/home/somebody/file': content });
    const plan = await engine.plan(image.path, request, signal);
    await debugfs(image, 'sif /home mode 0100644');
    const digest = digestOfFile(image.path);
    await expect(engine.apply(image.path, plan, signal)).rejects.toMatchObject({ code: 'IMAGE_DAMAGED' });
    expect(digestOfFile(image.path)).toBe(digest);
  });
});

test('identity - keys are made once, although they are begun before they are asked for', async () => {
  const image = system();
  const made = join(folder, 'made');
  const real = requireTool('ssh-keygen', 'openssh-client');
  // In this process: a reader's programs could not write there.
  const here = createEngineHere({
    ...{ stateFolder: join(folder, 'here'), formats: 'raw', kernelMount: false, kept: [] },
    ...{ rules: builtinRules, given: new Map() },
  });
  await withProgram('ssh-keygen', `echo x >> ${made}\nexec ${real} "$@"`, async () => {
    expect((await here.plan(image.path, request, signal)).proof.sshHostKeys).toHaveLength(1);
  });
  expect(readFileSync(made, 'utf8')).toBe('x\n');
});

test('identity - a key that was begun and is not asked for is ended with the plan', async () => {
  const keys = sshKeyFiles(folder, ['rsa']);
  const image = makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), { ...systemFiles(), ...keys }));
  const kept = [{ rule: 'ssh-host-keys', because: 'a trial' }];
  const plan = await createIdentityEngine({ stateFolder: join(folder, 'state'), kept }).plan(
    image.path,
    request,
    signal,
  );
  expect(plan.findings.filter(({ rule, action }) => rule === 'ssh-host-keys' && action === 'keep')).toHaveLength(1);
  expect(commandsWith(join(folder, 'state')).size).toBe(0);
  expect(readdirSync(join(folder, 'state')).filter((name) => name.startsWith('work-key'))).toEqual([]);
});

describe('an image that is not what it should be', () => {
  test(
    'identity - bytes of its structures overwritten at random: an answer or an error of the registry, and never a byte written',
    async () => {
      const random = seededRandom(SEED);
      const original = system();
      const outcomes = new Map<string, number>();
      for (let round = 0; round < 60; round += 1) {
        const image = copyOf(original, 'damaged');
        const fd = openSync(image.path, 'r+');
        // Superblock and descriptors, or tables and folders.
        for (let hits = 1 + random.below(40); hits > 0; hits -= 1) {
          const at = random.below(2) === 0 ? 1024 + random.below(2048) : random.below(2 * MIB);
          writeSync(fd, Buffer.from([random.below(256), random.below(256)]), 0, 2, at);
        }
        closeSync(fd);
        const digest = digestOfFile(image.path);
        const outcome = await engine.plan(image.path, request, signal).then(
          () => 'plan',
          (error: unknown) => codeOf(error) ?? String(error),
        );
        expect(['plan', 'IMAGE_DAMAGED', 'IMAGE_UNSUPPORTED', 'IDENTITY_FAILED'], `round ${round}`).toContain(outcome);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        expect(digestOfFile(image.path)).toBe(digest);
      }
      // The blows were neither too weak nor too hard to show anything.
      expect(outcomes.get('plan') ?? 0).toBeGreaterThan(5);
      expect(outcomes.size).toBeGreaterThan(1);
    },
    patience(120_000),
  );

  test('identity - links in it lead nowhere but into it: no file of this computer is read or written', async () => {
    const outside = join(folder, 'outside');
    mkdirSync(outside);
    const secret = join(outside, 'hostname');
    writeFileSync(secret, 'the-computer-itself\n');
    const image = system({
      '/etc/hostname': { link: `../../../../../../../../..${secret}` },
      '/etc/hosts': { link: secret },
      '/etc/machine-id': { link: 'machine-id' },
      '/etc/network/interfaces': { link: `/proc/${process.pid}/root${secret}` },
    });
    const plan = await engine.plan(image.path, request, signal);
    expect(JSON.stringify(plan)).not.toContain('the-computer-itself');
    await engine.apply(image.path, plan, signal);
    expect(readFileSync(secret, 'utf8')).toBe('the-computer-itself\n');
    expect(readdirSync(outside)).toEqual(['hostname']);
    expect(checkImage(image)).toBe('');
  });

  test.each([
    ['nothing', 0],
    ['zeros', MIB],
  ])('identity - a file of %s is no system', async (_, bytes) => {
    const path = join(folder, 'empty');
    writeFileSync(path, Buffer.alloc(bytes));
    const code = expect.stringMatching(/^IMAGE_(UNSUPPORTED|DAMAGED)$/);
    await expect(engine.plan(path, request, signal)).rejects.toMatchObject({ code });
    expect(statSync(path).size).toBe(bytes);
  });

  test('identity - cut short in the middle: nothing is changed, and it says so', async () => {
    const image = system();
    await runTool('/usr/bin/truncate', ['--size', String(SIZE_BYTES / 8), image.path]);
    const digest = digestOfFile(image.path);
    const work = engine.plan(image.path, request, signal).then((plan) => engine.apply(image.path, plan, signal));
    await expect(work).rejects.toMatchObject({ code: expect.stringMatching(/^IMAGE_(UNSUPPORTED|DAMAGED)$/) });
    expect(digestOfFile(image.path)).toBe(digest);
  });
});
