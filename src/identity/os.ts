// Which system an image holds: os-release(5), and the machine that its programs are for.
import type { Inspection } from './contract.ts';
import { type FileTree, printable, readText } from './tree/mod.ts';

const OS_RELEASE = ['/etc/os-release', '/usr/lib/os-release'];
/** Programs that some system or other has; the first that is there tells. */
const PROGRAMS = ['/bin/sh', '/usr/bin/env', '/sbin/init', '/usr/lib/systemd/systemd', '/bin/busybox'];
const ELF_HEADER_BYTES = 20;
/** e_machine of the ELF header (elf(5)), by the names of uname(1). */
const MACHINES: Readonly<Record<number, string>> = {
  3: 'i386',
  20: 'ppc',
  21: 'ppc64le',
  22: 's390x',
  40: 'arm',
  62: 'x86_64',
  183: 'aarch64',
  243: 'riscv64',
  258: 'loongarch64',
};
const UNKNOWN = 'unknown';

export async function osOf(tree: FileTree): Promise<Inspection['os']> {
  const fields = await osRelease(tree);
  return { id: fields.get('ID') ?? UNKNOWN, version: fields.get('VERSION_ID') ?? UNKNOWN, arch: await machineOf(tree) };
}

async function osRelease(tree: FileTree): Promise<ReadonlyMap<string, string>> {
  const fields = new Map<string, string>();
  for (const path of OS_RELEASE) {
    const file = await readText(tree, path);
    if (file.status !== 'text') continue;
    for (const line of file.text.split('\n')) {
      const match = /^([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|([^\s"']*))$/.exec(line.trim());
      const value = match?.[2] ?? match?.[3] ?? match?.[4];
      if (match?.[1] !== undefined && value !== undefined) fields.set(match[1], printable(value).slice(0, 100));
    }
    break;
  }
  return fields;
}

async function machineOf(tree: FileTree): Promise<string> {
  for (const path of PROGRAMS) {
    const header = await tree.read(path, ELF_HEADER_BYTES);
    const isElf = header !== null && header.length === ELF_HEADER_BYTES && header.readUInt32BE(0) === 0x7f454c46;
    if (!isElf) continue;
    const isLittle = header.readUInt8(5) === 1;
    return MACHINES[isLittle ? header.readUInt16LE(18) : header.readUInt16BE(18)] ?? UNKNOWN;
  }
  return UNKNOWN;
}
