// The demo's source: a real Debian 12 server on a GPT disk that boots by itself, built without mounting anything and kept in
// the user's cache under a name made of its recipe. `node dist/scripts/demo-image.js [--check]` prints its path; with
// --check the image is also booted, until it asks for a login.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, inWorkFolder, type Report, unpackDebian } from '../guests/mod.ts';
import { formatDuration, limits, messageOf, present, requireTool, runTool, spawnBound } from '../src/base/mod.ts';

const SUITE = 'bookworm';
const DISK_MIB = 1024;
/** The first two hold partition table and boot loader, the last one the second copy of the partition table. */
const ROOT_MIB = DISK_MIB - 3;
const SECTORS_PER_MIB = 2048;
const ROOT_UUID = '7b1f3c1e-0c5d-4d0f-9a5e-3d6a2f8c1b03';
const ROOT_PARTUUID = '7b1f3c1e-0c5d-4d0f-9a5e-3d6a2f8c1b02';
/** Partition types of the GPT: BIOS boot, and Linux root (x86-64). */
const TYPE_BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649';
const TYPE_LINUX_ROOT = '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709';

/** A web server with a database, as customers have them: about 830 MiB of files. */
const PACKAGES = [
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'zstd', 'grub-pc-bin', 'grub-common', 'e2fsprogs'],
  ...[
    'systemd-sysv',
    'udev',
    'dbus',
    'iproute2',
    'openssh-server',
    'locales',
    'less',
    'vim',
    'curl',
    'ca-certificates',
  ],
  ...['nginx-light', 'postgresql', 'python3', 'git'],
];

const PARTITIONS = [
  'label: gpt',
  'label-id: 7b1f3c1e-0c5d-4d0f-9a5e-3d6a2f8c1b01',
  `start=${SECTORS_PER_MIB}, size=${SECTORS_PER_MIB}, type=${TYPE_BIOS_BOOT}`,
  `start=${2 * SECTORS_PER_MIB}, size=${ROOT_MIB * SECTORS_PER_MIB}, type=${TYPE_LINUX_ROOT}, uuid=${ROOT_PARTUUID}`,
  '',
].join('\n');

/** Emulation without hardware help takes 15 to 40 s to the login on a small machine; this only ends what hangs. */
const BOOT_TIMEOUT_MS = 240_000;

/** As the hook names the machine; its console shows it before "login:". */
const HOST_NAME = 'golden';

/** The script lies beside this source; compiled, this file is two folders below the project. */
function hook(): string {
  const places = ['./demo-image-hook.sh', '../../scripts/demo-image-hook.sh'];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return readFileSync(present(paths.find(existsSync), 'the hook of the demo image'), 'utf8');
}

/** Where the image of this recipe is, or will be: another recipe has another name. */
export function demoImagePath(): string {
  const recipe = JSON.stringify([SUITE, PACKAGES, PARTITIONS, DISK_MIB, ROOT_UUID, hook()]);
  const digest = createHash('sha256').update(recipe).digest('hex').slice(0, 12);
  return join(cacheFolder(), `debian-12-${digest}.img`);
}

async function build(folder: string, report: Report, abort: AbortSignal): Promise<void> {
  const disk = join(folder, 'disk.img');
  writeFileSync(disk, '');
  // For the mapped root; the folder is closed to everybody else.
  chmodSync(disk, 0o666);
  truncateSync(disk, DISK_MIB * limits.MIB);
  const sfdisk = await runTool(requireTool('sfdisk', 'fdisk'), ['--quiet', disk], { input: PARTITIONS });
  if (sfdisk.status !== 0) throw new Error(`sfdisk: ${sfdisk.stderr}`);
  const variables = { ROOT_UUID, ROOT_PARTUUID, ROOT_MIB: String(ROOT_MIB) };
  await unpackDebian({ suite: SUITE, packages: PACKAGES, hook: hook(), variables, disk, folder, report, abort });
  chmodSync(disk, 0o644);
  renameSync(disk, demoImagePath());
}

/** The path of the image, after building it if it is not in the cache. Rejects with the reason of an abort. */
export async function demoImage(report: Report, abort: AbortSignal): Promise<string> {
  const path = demoImagePath();
  if (existsSync(path)) return path;
  if (process.arch !== 'x64') throw new Error('the demo image is an x86-64 system and has to be built on one');
  const started = performance.now();
  report('building a Debian 12 system image, once; about a minute');
  const step: Report = (line) =>
    report(`  ${formatDuration((performance.now() - started) / 1000).padStart(6)}  ${line}`);
  await inWorkFolder((folder) => build(folder, step, abort));
  return path;
}

/**
 * Boots the image in an emulated machine, without changing it, until it asks for a login on the serial console.
 * @throws Error with the end of the console's output when it does not, and the reason of an abort.
 */
export async function bootImage(path: string, abort: AbortSignal): Promise<void> {
  const machine = ['-accel', 'tcg,thread=multi', '-smp', '2', '-m', '512', '-nodefaults', '-no-reboot'];
  const console = ['-display', 'none', '-serial', 'stdio'];
  const drive = ['-drive', `file=${path.replaceAll(',', ',,')},format=raw,if=virtio,snapshot=on`];
  const qemu = requireTool('qemu-system-x86_64', 'qemu-system-x86');
  const child = spawnBound(qemu, [...machine, ...console, ...drive], { stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  const end = (): void => void child.kill('SIGKILL');
  const timer = setTimeout(end, BOOT_TIMEOUT_MS);
  abort.addEventListener('abort', end, { once: true });
  let output = '';
  let ready = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data: Buffer) => {
      output += data.toString('latin1');
      ready ||= output.includes(`${HOST_NAME} login:`);
      if (ready) end();
    });
  }
  await closed;
  clearTimeout(timer);
  abort.throwIfAborted();
  if (!ready) throw new Error(`the image does not boot to a login:\n${output.slice(-4000)}`);
}

async function main(options: readonly string[]): Promise<void> {
  if (options.some((option) => option !== '--check')) throw new Error('usage: demo-image [--check]');
  const report: Report = (line) => process.stderr.write(`${line}\n`);
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => abort.abort(new Error(`stopped by ${signal}`)));
  }
  const path = await demoImage(report, abort.signal);
  if (options.includes('--check')) {
    const started = performance.now();
    await bootImage(path, abort.signal);
    report(`boots to its login in ${formatDuration((performance.now() - started) / 1000)}`);
  }
  process.stdout.write(`${path}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`demo-image: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}
