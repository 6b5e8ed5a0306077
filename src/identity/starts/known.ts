// What starts and belongs to the system itself: as a package brought it that every system has, or of which it is known
// what it keeps. Where no database of packages can be read, by names and places.
import { type FileTree, nameOf } from '../tree/mod.ts';
import type { Start } from './contract.ts';

import { isKnownPackage, ownerOf, packagesOf } from './packages/mod.ts';

const PROGRAMS_MAX = 50;
/** Only packages put anything there. */
const VENDOR =
  /^(\/usr)?\/lib\/(systemd\/(system|user|system-generators)|udev\/rules\.d|NetworkManager\/dispatcher\.d)\//;
const VENDOR_ONLY = /\/(system-generators|rules\.d|dispatcher\.d)\//;
const SCRIPT = /^\/etc\/(rc\.d\/)?init\.d\//;
/** Of the administrator, or of what did not come in a package. */
const FOREIGN = /^\/(opt|srv|home|root|usr\/local|var)\//;
/** Units and scripts that are not called by their packages. */
const SERVICES = new Set(
  (
    'sshd ssh crond cron atd acpid auditd getty@ getty-static serial-getty@ console-getty autovt@ rc-local network networking ' +
    'chronyd ntpd rsyslogd syslog klogd auto-cpufreq import-state loadmodules mdmonitor kdump rngd smartd sysstat-collect ' +
    'sysstat-summary hwdrivers hwclock bootmisc modules urandom seedrng savecache swap swclock mtab root localmount procfs ' +
    'sysctl sysfs devfs dmesg mdev hostname loopback consolefont keymaps termencoding killprocs mount-ro cgroups binfmt ' +
    'machine-id fsck local halt reboot single sendsigs umountfs umountroot umountnfs.sh mountall.sh mountnfs.sh ' +
    'checkroot.sh checkfs.sh bootlogs motd rmnologin ldconfig raid-check netfs iptables ip6tables mandb-update messagebus'
  ).split(' '),
);

/** "package NAME", "system NAME"; null: nothing knows what it keeps. */
export async function knownToSystem(tree: FileTree, start: Start): Promise<string | null> {
  if ((await packagesOf(tree)) === null) return knownByName(tree, start);
  const { file, programs } = start;
  const own = file === null ? null : await knownOwner(tree, file);
  if (own === null) return null;
  for (const program of programs.filter((one) => one.startsWith('/')).slice(0, PROGRAMS_MAX)) {
    const entry = await tree.stat(program);
    // What is not there cannot be run.
    if (entry?.kind === 'file' && (await knownOwner(tree, entry.path)) === null) return null;
  }
  return `package ${own}`;
}

async function knownOwner(tree: FileTree, path: string): Promise<string | null> {
  const owner = await ownerOf(tree, path);
  if (owner === null) return null;
  const isOfSystem = (await packagesOf(tree))?.isOfSystem(owner) === true;
  return isOfSystem || isKnownPackage(owner) ? owner : null;
}

async function knownByName(tree: FileTree, { file, programs }: Start): Promise<string | null> {
  if (file === null || !(VENDOR.test(file) || SCRIPT.test(file))) return null;
  for (const program of programs.filter((one) => one.startsWith('/')).slice(0, PROGRAMS_MAX)) {
    if (FOREIGN.test((await tree.stat(program))?.path ?? program)) return null;
  }
  const name = nameOf(file).replace(/\.(service|timer)$/, '');
  const isKnown = VENDOR_ONLY.test(file) || SERVICES.has(name) || isKnownPackage(name);
  return isKnown ? `system ${name}` : null;
}
