// What an administrator without us would do to get a second host, as a script: qemu-img(1) for disks, debugfs(8) for who the copy is,
// QEMU, a look at the service, HAProxy's socket. It leaves out what takes people longest: finding out that it is time, and typing.
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { copySparsely, type Guests } from '../../guests/mod.ts';
import type { Stage } from '../../scripts/loop/stage.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';

export interface Lap {
  readonly stage: string;
  readonly seconds: number;
}

export interface ByHandOptions {
  readonly stage: Stage;
  readonly guests: Guests;
  readonly lead: string;
  readonly spare: string;
  /** Files with what the copy is to say of itself, by their path in the image. */
  readonly identity: Readonly<Record<string, string>>;
  readonly append: string;
  readonly memoryMiB: number;
  readonly mac: string;
  readonly address: string;
  readonly accelerator: string;
}

const TOOL_MS_MAX = 600_000;
/** e2fsck(8): 1 says that errors were corrected, which a copy of a live disk needs. */
const E2FSCK_CORRECTED = 1;
const KEY_TYPES = ['ed25519', 'ecdsa', 'rsa'];

/** Time to capacity by hand, stage by stage; afterwards the spare is off and has its own disk again. */
export async function cloneByHand(options: ByHandOptions): Promise<readonly Lap[]> {
  const { stage, spare, lead } = options;
  const laps: Lap[] = [];
  const lap = async (name: string, work: () => Promise<void>): Promise<void> => {
    const startedMs = performance.now();
    await work();
    laps.push({ stage: name, seconds: (performance.now() - startedMs) / 1000 });
  };
  const backup = join(stage.folder, 'by-hand-backup.img');
  // The storage daemon holds the spare's own volume; a spare without us has a disk like it.
  const [from, to] = [stage.volume(lead), join(stage.folder, 'by-hand-spare.img')];
  await copySparsely(stage.volume(spare), to);
  await lap('preserve', () => convert(to, backup, []));
  // The lead's disk is in use, and what is copied is not one moment of it: there is no better way with these tools alone.
  await lap('replicate', () => convert(from, to, ['-U', '-n']));
  await lap('personalise', () => personalise(options, to));
  const machine = startMachine(options, to);
  const ended = once(machine, 'exit');
  try {
    await lap('boot and prove', () => answers(options));
    await lap('admit', () => admit(options));
  } finally {
    await talk(stage, `set server wiki-reads/${spare} state maint; del server wiki-reads/${spare}`);
    machine.kill('SIGKILL');
    await ended;
    await convert(backup, to, ['-n']);
    for (const file of [backup, to]) rmSync(file);
  }
  return laps;
}

async function tool(name: string, debianPackage: string, args: readonly string[], good = [0]): Promise<void> {
  const done = await runTool(requireTool(name, debianPackage), args, { timeoutMs: TOOL_MS_MAX });
  if (!good.includes(done.status ?? -1)) throw new Error(`${name} ${args.join(' ')}: ${done.stderr}${done.stdout}`);
}

async function convert(from: string, to: string, flags: readonly string[]): Promise<void> {
  await tool('qemu-img', 'qemu-utils', ['convert', ...flags, '-f', 'raw', '-O', 'raw', from, to]);
  await tool('sync', 'coreutils', [to]);
}

async function personalise({ stage, identity }: ByHandOptions, image: string): Promise<void> {
  await tool('e2fsck', 'e2fsprogs', ['-fy', image], [0, E2FSCK_CORRECTED]);
  const commands: string[] = [];
  const write = (source: string, path: string, mode: string): void => {
    commands.push(`rm ${path}`, `write ${source} ${path}`, `sif ${path} mode 0100${mode}`);
  };
  for (const [index, [path, content]] of Object.entries(identity).entries()) {
    const source = join(stage.folder, `by-hand-${index}`);
    writeFileSync(source, content);
    write(source, path, '644');
  }
  for (const type of KEY_TYPES) {
    const key = join(stage.folder, `by-hand-key-${type}`);
    rmSync(key, { force: true });
    await tool('ssh-keygen', 'openssh-client', ['-q', '-t', type, '-N', '', '-f', key]);
    write(key, `/etc/ssh/ssh_host_${type}_key`, '600');
    write(`${key}.pub`, `/etc/ssh/ssh_host_${type}_key.pub`, '644');
  }
  const script = join(stage.folder, 'by-hand-commands');
  writeFileSync(script, `${commands.join('\n')}\n`);
  await tool('debugfs', 'e2fsprogs', ['-w', '-f', script, image]);
  await tool('e2fsck', 'e2fsprogs', ['-fn', image]);
  await tool('sync', 'coreutils', [image]);
}

function startMachine(options: ByHandOptions, image: string) {
  const { stage, guests, spare } = options;
  const accelerator = options.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi';
  const args = [
    ...['-nodefaults', '-display', 'none', '-machine', 'pc', '-accel', accelerator, '-cpu', 'max', '-smp', '1'],
    ...['-m', `${options.memoryMiB}M`, '-kernel', guests.kernel, '-initrd', guests.initrd, '-append', options.append],
    ...['-drive', `file=${image},format=raw,if=virtio,cache=none,discard=unmap`],
    ...['-netdev', `tap,id=net0,ifname=tap-${spare},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${options.mac},romfile=`],
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
  ];
  return stage.lan.spawn(requireTool('qemu-system-x86_64', 'qemu-system-x86'), args, { stdio: 'ignore' });
}

async function answers({ stage, address, spare }: ByHandOptions): Promise<void> {
  await stage.until(`${spare} says who it is`, async () => {
    const { body } = await stage.insider.ask({ url: `http://${address}/whoami.php`, timeoutMs: 10_000 });
    return (JSON.parse(body) as { hostName: string }).hostName === spare;
  });
}

async function admit({ stage, address, spare }: ByHandOptions): Promise<void> {
  const server = `wiki-reads/${spare}`;
  await talk(
    stage,
    `add server ${server} ${address}:80 check inter 2s; enable server ${server}; enable health ${server}`,
  );
  await stage.until(`HAProxy has ${spare} up`, async () => /,UP,/.test(lineOf(await talk(stage, 'show stat'), spare)));
}

function lineOf(stat: string, server: string): string {
  return stat.split('\n').find((line) => line.startsWith(`wiki-reads,${server},`)) ?? '';
}

async function talk(stage: Stage, command: string): Promise<string> {
  const socket = connect(join(stage.folder, 'haproxy.sock'));
  socket.setEncoding('utf8').write(`${command}\n`);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += String(chunk);
  });
  await once(socket, 'end');
  socket.destroy();
  return answer;
}
