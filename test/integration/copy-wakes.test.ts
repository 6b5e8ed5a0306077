// Every wake-up is rung after the change that it announces (invariant 4 of ARCHITECTURE.md): real processes whose waits
// do not end by time-out go through everything that one of them waits for another with, and end.
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { errnoOf } from '../../src/base/mod.ts';
import { randomBytesOf } from '../rig/content.ts';
import type { CopyProcess } from '../rig/copy-process.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { patientProgram } from '../rig/patient-program.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const BLOCK = 64 * 1024;
const BLOCKS = 40;
const SHAPE = ['--on-slow', 'pace', '--block-size', String(BLOCK), '--buffer', String(4 * BLOCK)];

interface Scene {
  readonly stage: Stage;
  readonly program: string;
  copy(...args: readonly string[]): CopyProcess;
  /** Waits until a target has all but so many blocks. */
  left(name: string, blocks: number): Promise<unknown>;
}

function onPatientStage(play: (scene: Scene) => Promise<void>): Promise<void> {
  return onStage(async (stage) => {
    const program = patientProgram(stage);
    await play({
      stage,
      program,
      copy: (...args) => stage.run(['copy', '--json', '--quiet', ...SHAPE, ...args], { program }),
      left: (name, blocks) =>
        stage.sees(`${name} has all but ${blocks} blocks`, ({ consumers }) =>
          consumers.some(({ target, blocksLeft }) => target === stage.target(name) && blocksLeft === blocks),
        ),
    });
  });
}

test('wakes - thousands of blocks through four slots to three targets, without one time-out', () =>
  onPatientStage(async ({ stage, copy }) => {
    const image = stage.image('image', 2000 * BLOCK);
    // A server that is slower than the targets: they wait for each block.
    const server = await stage.nbdkit({ plugin: ['file', image.path] });
    for (const source of [image.path, server.uri]) {
      const [a = '', b = '', c = ''] = ['a', 'b', 'c'].map((name) => stage.target(name));
      const copies = [copy('--yes', '--verify', source, a, b), copy('--yes', source, c)];
      for (const one of copies) expect((await one.result()).ok).toBe(true);
      for (const name of stage.targets) expect(stage.difference(name, image.content)).toBe(null);
    }
  }));

test('wakes - the reader begins when the last target has arrived, again and again', () =>
  onPatientStage(async ({ stage, copy }) => {
    const image = stage.image('image', BLOCK);
    const copies = Array.from({ length: 8 }, (_, index) => stage.target(`t${index}`));
    for (const target of copies) await copy(image.path, target).good();
    for (const name of stage.targets) expect(stage.difference(name, image.content)).toBe(null);
  }));

test('wakes - a target that fails while the others wait for it makes room for them', () =>
  onPatientStage(async ({ stage, copy }) => {
    const image = stage.image('image', BLOCKS * BLOCK);
    const server = await stage.nbdkit({
      filters: ['delay', 'error'],
      plugin: ['memory', '4M', 'wdelay=1', 'error-pwrite-rate=100%'],
    });
    const [failed, whole] = (await copy(image.path, server.uri, stage.target('whole')).result()).targets;
    expect(failed?.error?.code).toBe('TARGET_WRITE_FAILED');
    expect(whole?.ok).toBe(true);
    expect(stage.difference('whole', image.content)).toBe(null);
  }));

test.each([BLOCKS * BLOCK - 1000, BLOCKS * BLOCK])(
  'wakes - a stream of %i bytes, whose end nobody knows before it is there',
  (sizeBytes) =>
    onPatientStage(async ({ stage, copy }) => {
      const content = stage.allow(randomBytesOf(5, sizeBytes));
      const packed = stage.write('packed.gz', gzipSync(content));
      expect((await copy(packed.path, stage.target('s')).result()).ok).toBe(true);
      expect(stage.difference('s', content)).toBe(null);
    }),
);

test('wakes - a target joins while the reader waits for the source', () =>
  onPatientStage(async ({ stage, copy, left }) => {
    const content = randomBytesOf(6, BLOCKS * BLOCK - 1000);
    const source = await GatedSource.start(stage, content, 20 * BLOCK);
    const first = copy(source.uri, stage.target('a'));
    await left('a', BLOCKS - 20);
    const second = copy('--join', 'newest', source.uri, stage.target('b'));
    await stage.sees('b has joined', ({ consumers }) => consumers.some(({ startBlock }) => startBlock > 0));
    source.open();
    for (const one of [first, second]) expect((await one.result()).ok).toBe(true);
    for (const name of stage.targets) expect([name, stage.difference(name, content)]).toEqual([name, null]);
  }));

test('wakes - who waits for a block is stopped at once, and the reader ends with the last of them', () =>
  onPatientStage(async ({ stage, copy, left }) => {
    const source = await GatedSource.start(stage, randomBytesOf(6, BLOCKS * BLOCK), 20 * BLOCK);
    const one = copy(source.uri, stage.target('a'));
    await left('a', BLOCKS - 20);
    one.signal('SIGINT');
    expect((await one.ended).status).toBe(130);
    source.open();
  }));

test('wakes - a copy that leaves in the middle makes room for those that it held up', () =>
  onPatientStage(async ({ stage, copy }) => {
    const image = stage.image('image', BLOCKS * BLOCK);
    const slow = copy('--limit', '64K', image.path, stage.target('slow'));
    await stage.sees('the slow one', ({ consumers }) => consumers.length === 1);
    const fast = copy(image.path, stage.target('fast'));
    await stage.sees('both, with the ring full', ({ consumers }) => consumers.length === 2);
    slow.signal('SIGINT');
    expect((await slow.ended).status).toBe(130);
    await fast.good();
    expect(stage.difference('fast', image.content)).toBe(null);
  }));

/** futex(2), by the name of its number; proc_pid_syscall(5). Without FUTEX_PRIVATE_FLAG only our own waits are made. */
const SHARED_WAIT = /^(202|98) 0x[0-9a-f]+ 0x0 /;

/** Whether a thread of the process sleeps on a word of the ring. */
function sleepsOnRing(pid: number): boolean {
  const calls = readdirSync(`/proc/${pid}/task`).map((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/syscall`, 'utf8');
    } catch (error) {
      // Threads end.
      if (errnoOf(error) === null) throw error;
      return '';
    }
  });
  return calls.some((call) => SHARED_WAIT.test(call));
}

test('wakes - targets sleep until the source is known, and then begin', () =>
  onPatientStage(async ({ stage, copy }) => {
    const content = stage.allow(randomBytesOf(7, BLOCK));
    const held: ServerResponse[] = [];
    let open = false;
    const server = createServer((_, response) => {
      if (open) response.end(content);
      else held.push(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    stage.defer(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const one = copy(`http://127.0.0.1:${port}/image`, stage.target('a'));
    await eventually('the reader asks, and the target sleeps', () => held.length > 0 && sleepsOnRing(one.pid));
    open = true;
    for (const response of held) response.end(content);
    await one.good();
    expect(stage.difference('a', content)).toBe(null);
  }));

test('wakes - a target that has all of a stream sleeps until its end is known', () =>
  onPatientStage(async ({ stage, program }) => {
    const content = stage.allow(randomBytesOf(8, 3 * BLOCK));
    const args = ['copy', '--json', '--quiet', ...SHAPE, '-', stage.target('a')];
    const one = stage.run(args, { program, stdin: 'pipe' });
    one.child.stdin?.write(content);
    // The whole blocks are there, and no other follows.
    await stage.sees('it has them', ({ consumers, blocksTotal }) => consumers[0]?.blocksLeft === blocksTotal - 3);
    await eventually('it sleeps', () => sleepsOnRing(one.pid));
    one.child.stdin?.end();
    await one.good();
    expect(stage.difference('a', content)).toBe(null);
  }));
