// Question 3: one of four targets is slow. What does that cost the other three, and the slow one itself?
import { formatBytes, limits, present } from '../src/base/mod.ts';
import { type Bench, chooseRivals, type Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { cgroupObstacle, type DeviceCap, type GroupOptions, makeGroup, smallMemoryBytes } from './rig/cgroup.ts';
import { type Contender, measure, prepareCaches, type Targets } from './rig/contender.ts';
import { writeRandomImage } from './rig/image.ts';
import { attachLoop, type LoopDevice, makeBackingFile } from './rig/loop.ts';
import { ours, oursCommand, oursTargets } from './rig/ours.ts';
import { formatSpread, spreadOf } from './rig/pair.ts';
import { dcfldd, etcher, mbuffer } from './rig/peers.ts';
import { readyMemory } from './rig/ready-memory.ts';
import { type Command, runTogether } from './rig/run.ts';

const TARGETS = 4;
const SIZE_BYTES = 2 * limits.GIB;
const RATE_BYTES = 40 * limits.MIB;
const ROUNDS = 3;
/** A rival waits for its slow target each time, so one pair tells enough and more would take minutes. */
const RIVAL_ROUNDS = 1;

/** How much memory all of a run has, in bytes (null: as much as the machine), and what tables say of it. */
interface Regime {
  readonly memoryBytes: number | null;
  readonly suffix: string;
}

interface Setting {
  readonly source: string;
  readonly sizeBytes: number;
  readonly devices: readonly LoopDevice[];
  readonly cap: DeviceCap;
  readonly regime: Regime;
}

/** Seconds of each target in one run. */
type Times = readonly number[];
/** How four copies are asked for, and how long each took. */
type Asking = (bench: Bench, setting: Setting, devices: readonly LoopDevice[], capped: boolean) => Promise<Times>;

export const slowTarget: Question = { name: 'slow-target', run: runSlowTarget };

async function runSlowTarget(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const rateBytes = options.rateBytes ?? RATE_BYTES;
  const memoryBytes = smallMemoryBytes(sizeBytes, TARGETS + 1);
  const report = {
    name: 'slow-target',
    title: 'One slow target of four',
    method:
      `${formatBytes(sizeBytes)} of random data to ${TARGETS} loop devices, the last one writing ${formatBytes(rateBytes)} a second at ` +
      `most, ${formatBytes(memoryBytes)} of memory where nothing else is said. Each round runs all four uncapped, then with the cap, then the slow one alone. ` +
      'Separate processes are timed from outside; a single process with four targets reports the time of each.',
    target:
      'the other three within 1.10 times the uncapped time, the slow one within 1.1 times what it needs alone (rivals: about 11 times).',
  };
  const obstacle = cgroupObstacle();
  if (obstacle !== null) return { ...report, tables: [], notes: [`not measured: ${obstacle}`] };
  const { present: rivals, notes } = await chooseRivals(bench, [mbuffer, dcfldd, etcher()]);
  const source = `${workbench.folder}/source.img`;
  writeRandomImage(source, sizeBytes);
  const devices = await makeDevices(bench, sizeBytes);
  const slow = present(devices.at(-1), 'the slow device');
  const cap: DeviceCap = { majorMinor: slow.majorMinor, writeBytesPerSecond: rateBytes };
  const tables: Table[] = [];
  for (const regime of regimesOf(options.regimes, memoryBytes)) {
    const setting: Setting = { source, sizeBytes, devices, cap, regime };
    tables.push(await measureSeparate(bench, setting), await measureRivals(bench, setting, rivals));
  }
  return { ...report, tables, notes };
}

function regimesOf(names: readonly string[], smallBytes: number): Regime[] {
  return names.map((name) =>
    name === 'small'
      ? { memoryBytes: smallBytes, suffix: '' }
      : { memoryBytes: null, suffix: ', image fits in the page cache' },
  );
}

function groupOptions({ memoryBytes }: Regime, caps: readonly DeviceCap[]): GroupOptions {
  return memoryBytes === null ? { caps } : { memoryBytes, caps };
}

async function makeDevices(bench: Bench, sizeBytes: number): Promise<LoopDevice[]> {
  const devices: LoopDevice[] = [];
  for (let index = 0; index < TARGETS; index++) {
    const file = `${bench.workbench.folder}/device-${index + 1}.img`;
    await makeBackingFile(bench.workbench, file, sizeBytes);
    devices.push(await attachLoop(bench.workbench, file));
  }
  return devices;
}

/** One command for each device, all at once; each timed from outside. */
function separately(command: (source: string, target: string) => Command): Asking {
  return (bench, setting, devices, capped) =>
    inGroup(bench, setting, devices, capped, async (group) => {
      const commands = devices.map((device) => command(setting.source, device.path));
      const all = await runTogether(bench.workbench, group, commands);
      return all.map((one) => one.seconds);
    });
}

const oneProcess: Asking = (bench, setting, devices, capped) =>
  inGroup(bench, setting, devices, capped, async (group) => {
    const paths = devices.map((device) => device.path);
    const [finished] = await runTogether(bench.workbench, group, [oursCommand(setting.source, paths)]);
    return oursTargets(present(finished, 'the copy')).map((target) => target.seconds);
  });

function inGroup(
  bench: Bench,
  setting: Setting,
  devices: readonly LoopDevice[],
  capped: boolean,
  body: (group: ReturnType<typeof makeGroup>) => Promise<Times>,
): Promise<Times> {
  return bench.workbench.scope(async () => {
    const { cap, regime, sizeBytes } = setting;
    const group = makeGroup(bench.workbench, groupOptions(regime, capped ? [cap] : []));
    await prepareCaches(bench.workbench, ours(), bench.options.warmPrograms);
    if (regime.memoryBytes === null) readyMemory((TARGETS + 1) * sizeBytes);
    const writtenBefore = devices.map((device) => device.bytesWritten());
    const times = await body(group);
    await group.emptied();
    // Who is fast because the bytes went elsewhere is not fast.
    for (const [index, device] of devices.entries()) {
      const written = device.bytesWritten() - (writtenBefore[index] ?? 0);
      if (written < sizeBytes) throw new Error(`${device.path} was given ${written} of ${sizeBytes} bytes`);
    }
    return times;
  });
}

async function measureSeparate(bench: Bench, setting: Setting): Promise<Table> {
  const askings: readonly (readonly [string, Asking])[] = [
    ['understudy, four processes', separately((source, target) => oursCommand(source, [target]))],
    ['understudy, one process', oneProcess],
    [
      'dd buffered, four processes',
      separately((source, target) => [
        'dd',
        `if=${source}`,
        `of=${target}`,
        'bs=1M',
        'conv=notrunc,fsync',
        'status=none',
      ]),
    ],
  ];
  const rows: string[][] = [];
  for (const [name, asking] of askings) {
    bench.say(`slow-target: ${name}`);
    rows.push([name, ...(await measureAsking(bench, setting, asking))]);
  }
  return {
    heading: `Each target timed${setting.regime.suffix}`,
    columns: [
      ...['copies by', 'other three, uncapped, s', 'other three, one capped, s', 'ratio'],
      ...['slow one among four, s', 'slow one alone, s', 'ratio'],
    ],
    rows,
  };
}

async function measureAsking(bench: Bench, setting: Setting, asking: Asking): Promise<string[]> {
  const { devices } = setting;
  const rounds: { uncapped: number; others: number; slow: number; alone: number }[] = [];
  for (let round = 0; round < (bench.options.rounds ?? ROUNDS); round++) {
    const control = await asking(bench, setting, devices, false);
    const capped = await asking(bench, setting, devices, true);
    const alone = await asking(bench, setting, devices.slice(-1), true);
    rounds.push({
      uncapped: Math.max(...control.slice(0, -1)),
      others: Math.max(...capped.slice(0, -1)),
      slow: present(capped.at(-1), 'the time of the slow target'),
      alone: present(alone[0], 'the time alone'),
    });
  }
  const spread = (value: (one: (typeof rounds)[number]) => number): string => formatSpread(spreadOf(rounds.map(value)));
  return [
    ...[spread((one) => one.uncapped), spread((one) => one.others), spread((one) => one.others / one.uncapped)],
    ...[spread((one) => one.slow), spread((one) => one.alone), spread((one) => one.slow / one.alone)],
  ];
}

async function measureRivals(bench: Bench, setting: Setting, rivals: readonly Contender[]): Promise<Table> {
  const { source, sizeBytes, devices, cap, regime } = setting;
  const targets: Targets = { paths: devices.map((device) => device.path), prepare: () => {}, discard: () => {} };
  const timed = async (contender: Contender, caps: readonly DeviceCap[]): Promise<number> => {
    const { warmPrograms } = bench.options;
    const options = {
      workbench: bench.workbench,
      warmPrograms,
      contender,
      source,
      sourceBytes: sizeBytes,
      targets,
      inMemory: false,
      ...(regime.memoryBytes === null ? { readyMemoryBytes: (TARGETS + 1) * sizeBytes } : {}),
    };
    return (await measure({ ...options, group: groupOptions(regime, caps) })).seconds;
  };
  const rows: string[][] = [];
  for (const rival of rivals) {
    bench.say(`slow-target: ${rival.name}`);
    const control: number[] = [];
    const capped: number[] = [];
    for (let round = 0; round < RIVAL_ROUNDS; round++) {
      control.push(await timed(rival, []));
      capped.push(await timed(rival, [cap]));
    }
    const ratios = capped.map((seconds, round) => seconds / present(control[round], 'the control'));
    rows.push([rival.name, ...[control, capped, ratios].map((list) => formatSpread(spreadOf(list)))]);
  }
  return {
    heading: `Rivals, whole program with flush (all targets end with it)${regime.suffix}`,
    columns: ['rival', 'uncapped, s', 'one capped, s', 'ratio'],
    rows,
  };
}
