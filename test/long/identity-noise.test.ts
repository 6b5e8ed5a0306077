// Goal: an untouched server raises no question and next to no line of "starts, not understood": minimal, standard and
// web servers of three releases of Debian, as their packages leave them.
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { unpackDebian } from '../../guests/mod.ts';
import { limits } from '../../src/base/mod.ts';
import { createIdentityEngine, type HostIdentity } from '../../src/identity/mod.ts';
import { patience } from '../rig/patience.ts';

const BUILD_TIMEOUT_MS = patience(1_200_000);
const IMAGE_MIB = 3072;
const LINES_MAX = 5;
const STANDARD = ['?priority(important)', '?priority(standard)', 'systemd-sysv', 'openssh-server', 'cron'];
const KINDS: Readonly<Record<string, readonly string[]>> = {
  minimal: ['systemd-sysv', 'ifupdown', 'iproute2'],
  standard: STANDARD,
  'web server': [...STANDARD, 'nginx', 'apache2', 'php-fpm', 'mariadb-server', 'logrotate', 'unattended-upgrades'],
};
const LEAD: HostIdentity = {
  hostName: 'quiet1',
  interfaces: [{ name: 'eth0', mac: '', addresses: ['10.0.0.11/24'], gateway: '10.0.0.1' }],
};
/** Security updates of a release that is no longer kept are not all there any more. */
const SOURCES: Readonly<Record<string, readonly string[]>> = {
  bullseye: ['deb http://deb.debian.org/debian bullseye main'],
};
const HOOK = `
echo quiet1 > "$1/etc/hostname"
echo '127.0.0.1 localhost' > "$1/etc/hosts"
mkdir -p "$1/etc/network"
printf 'auto eth0\\niface eth0 inet static\\n  address 10.0.0.11/24\\n  gateway 10.0.0.1\\n' > "$1/etc/network/interfaces"
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/archives/*.deb "$1"/etc/apt/apt.conf.d/99mmdebstrap
: > "$1/etc/resolv.conf"
view=$(mktemp -d)
mount --bind "$1" "$view"
trap 'umount "$view"; rmdir "$view"' EXIT
mke2fs -q -F -t ext4 -d "$view" /proc/self/fd/9
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ust-noise-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(
  ['bullseye', 'bookworm', 'trixie'].flatMap((suite) => Object.keys(KINDS).map((kind) => [suite, kind] as const)),
)(
  'noise - Debian %s, %s: nothing is asked, and at most five starts are not understood',
  async (suite, kind) => {
    const disk = join(folder, 'image');
    writeFileSync(disk, '');
    truncateSync(disk, IMAGE_MIB * limits.MIB);
    mkdirSync(join(folder, 'unpack'), { recursive: true });
    await unpackDebian({
      ...{ suite, packages: KINDS[kind] ?? [], hook: HOOK, variables: {}, disk, folder: join(folder, 'unpack') },
      ...(SOURCES[suite] === undefined ? {} : { sources: SOURCES[suite] }),
      ...{ report: () => undefined, abort: new AbortController().signal },
    });
    const engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
    const { findings, starts } = await engine.inspect(disk, LEAD, new AbortController().signal);
    rmSync(disk);
    expect(findings.filter(({ action }) => action === 'unknown')).toEqual([]);
    const open = starts.filter(({ knownBy }) => knownBy === null);
    expect(starts.length).toBeGreaterThan(20);
    expect(open.map(({ path }) => path).length, JSON.stringify(open, null, 1)).toBeLessThanOrEqual(LINES_MAX);
  },
  BUILD_TIMEOUT_MS,
);
