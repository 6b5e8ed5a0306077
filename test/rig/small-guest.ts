// A guest that is up within seconds: the kernel of the Debian guests, and a disk with nothing but busybox. It says who it is on
// port 80 as they do, and writes to its disk all the time as a pet does. What failures do to a plan shows on it as on any other.
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type GuestIdentity, type Guests, identityFiles, readFromImage } from '../../guests/mod.ts';
import { present, requireTool, runTool } from '../../src/base/mod.ts';

const DISK_MIB = 64;

/** The first process. Names of programs are those of busybox(1). */
const INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t tmpfs run /run
read -r name < /etc/hostname
$b hostname "$name"
read -r machine < /etc/machine-id
set -- $($b grep -E '^ +(address|gateway) ' /etc/network/interfaces)
$b ip link set lo up
$b ip address add "$2" dev eth0
$b ip link set eth0 up
$b ip route add default via "$4"
$b mkdir /run/www
echo "{\\"hostName\\":\\"$name\\",\\"address\\":\\"\${2%/*}\\",\\"machineId\\":\\"$machine\\"}" > /run/www/whoami.php
$b cp /etc/pet /run/www/pet
$b mkdir /run/www/cgi-bin
$b cp /usr/lib/page /run/www/cgi-bin/page
$b mkfifo /run/turn
exec 3<>/run/turn
printf t >&3
$b httpd -p 80 -h /run/www
count=0
while :; do
  count=$((count + 1))
  echo "$count" >> /var/log/ticks
  $b sync
  $b sleep 1
done
`;

/** A page of which one at a time is made, a fifth of a second each: a host that can be overloaded without a load on the computer below. */
const PAGE = `#!/bin/busybox sh
printf 'Content-Type: application/json\\r\\n\\r\\n'
exec 3<>/run/turn
/bin/busybox dd bs=1 count=1 <&3 >/dev/null 2>&1
/bin/busybox sleep 0.2
printf t >&3
exec /bin/busybox cat /run/www/whoami.php
`;

const FILES: Readonly<Record<string, string>> = {
  '/etc/os-release': 'ID=debian\nVERSION_ID="12"\n',
  '/etc/fstab': '/dev/vda / ext4 errors=remount-ro 0 0\n',
  '/var/log/ticks': '',
};
const FOLDERS = ['/dev', '/proc', '/run', '/sys', '/tmp', '/var/log'];

/** Of whom the disk is, whoever it says it is: at /pet of its web server. */
export function petOf({ machineId }: GuestIdentity): string {
  return `${createHash('sha256').update(machineId).digest('hex')}\n`;
}

/** Makes the boot volume of a small guest as a bare ext4 image. */
export async function makeSmallGuest(guests: Guests, identity: GuestIdentity, image: string): Promise<void> {
  const busybox = present(await readFromImage(guests.webImage, '/usr/bin/busybox'), 'busybox in the guest');
  const tree = mkdtempSync(join(tmpdir(), 'small-guest-'));
  try {
    const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), content);
      chmodSync(join(tree, path), mode);
    };
    for (const folder of FOLDERS) mkdirSync(join(tree, folder), { recursive: true });
    put('/bin/busybox', busybox, 0o755);
    symlinkSync('busybox', join(tree, 'bin/sh'));
    put('/sbin/init', INIT, 0o755);
    put('/usr/lib/page', PAGE, 0o755);
    // What it has beside its identity, by which a clone is known.
    put('/etc/pet', petOf(identity));
    for (const [path, text] of Object.entries({ ...FILES, ...identityFiles(identity) })) put(path, text);
    const args = ['-q', '-F', '-t', 'ext4', '-E', 'root_owner=0:0', '-d', tree, image, `${DISK_MIB}M`];
    const done = await runTool(requireTool('mke2fs', 'e2fsprogs'), args);
    if (done.status !== 0) throw new Error(`mke2fs: ${done.stderr}`);
  } finally {
    rmSync(tree, { recursive: true });
  }
}
