// What a figure depends on: processor, memory, kernel, disk, versions, commit. No names of machines or places.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { formatBytes, runTool } from '../../src/base/mod.ts';
import { cgroupVersion } from './cgroup.ts';

/** The folder that holds package.json, from sources and from dist alike. */
export function projectFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('package.json is in no folder above this file');
    folder = parent;
  }
  return folder;
}

/** One line: "AMD EPYC ..., 2 processors, 24 GiB, Linux 6.1, virtio disk, Node.js 20.19.0, commit abc1234, 2026-11-23". */
export async function describeMachine(diskFolder: string): Promise<string> {
  const processors = cpus();
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const virtual = /^flags.*\bhypervisor\b/m.test(info) ? ' (virtual machine)' : '';
  return [
    `${processors[0]?.model.trim() ?? 'unknown processor'}${virtual}`,
    `${processors.length} processors`,
    `${formatBytes(totalmem())} of memory`,
    `Linux ${release().split('-')[0]}`,
    diskKind(diskFolder),
    `control groups ${cgroupVersion()}`,
    `Node.js ${process.versions.node}`,
    await commitOf(projectFolder()),
    new Date().toISOString().slice(0, 10),
  ].join(', ');
}

function diskKind(folder: string): string {
  const device = statSync(folder).dev;
  const major = ((device >> 8) & 0xfff) >>> 0;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  const entry = `/sys/dev/block/${major}:${minor}`;
  if (!existsSync(entry)) return `${fileSystemOf(folder)} without a block device`;
  const uevent = readFileSync(join(entry, 'uevent'), 'utf8');
  const name = /^DEVNAME=(.*)$/m.exec(uevent)?.[1] ?? basename(entry);
  const kind = name.startsWith('vd') ? 'virtio disk' : name.startsWith('nvme') ? 'NVMe disk' : 'disk';
  return `${fileSystemOf(folder)} on a ${kind}`;
}

/** Type of the file system that holds a folder, from the longest matching mount point. */
function fileSystemOf(folder: string): string {
  let found = { point: '', type: 'unknown file system' };
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, point, type] = line.split(' ');
    if (point === undefined || type === undefined || type === 'rootfs') continue;
    const inside = folder === point || folder.startsWith(point.endsWith('/') ? point : `${point}/`);
    if (inside && point.length >= found.point.length) found = { point, type };
  }
  return found.type;
}

async function commitOf(folder: string): Promise<string> {
  const head = await runTool('git', ['-C', folder, 'rev-parse', '--short', 'HEAD']);
  if (head.status !== 0) return 'no commit';
  const status = await runTool('git', ['-C', folder, 'status', '--porcelain', '--', 'src', 'bin', 'bench']);
  return `commit ${head.stdout.trim()}${status.stdout.trim() === '' ? '' : ' with changes'}`;
}
