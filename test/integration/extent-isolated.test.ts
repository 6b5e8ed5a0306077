// Which bytes are in use is found by a process that can do no harm: programs that look at the source see nothing of the
// machine, and when they bring their process down, all is copied.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CopyExtent, resolveExtent, resolveIsolated, withLocalView } from '../../src/replication/extent/mod.ts';
import { OWN_USER } from '../../src/sandbox/mod.ts';
import { attachLoop, makeFile, run } from '../support/disk-image.ts';

const MIB = 1024 * 1024;
const before = process.env.PATH;
let folder: string;
let image: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-extent-isolated-'));
  image = makeFile(join(folder, 'image'), 32 * MIB);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', image]);
});
afterEach(() => {
  process.env.PATH = before;
  rmSync(folder, { recursive: true, force: true });
});

function used(path: string): Promise<CopyExtent> {
  return withLocalView(path, (view) => resolveIsolated({ kind: 'used' }, view));
}

/** A blkid, the first program that looks at the source. */
function blkid(script: string): void {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'blkid'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  process.env.PATH = `${bin}:${before}`;
}

test('isolated - the answer is that of a look without a sandbox, for a file and for a block device', async () => {
  const expected = await withLocalView(image, (view) => resolveExtent({ kind: 'used' }, view));
  expect(expected.skip.length).toBeGreaterThan(0);
  expect(await used(image)).toEqual(expected);
  const loop = attachLoop(image);
  try {
    expect(await used(loop)).toEqual(expected);
  } finally {
    run('losetup', ['--detach', loop]);
  }
});

test('isolated - a program that looks at the source is another user, without environment, files and network', async () => {
  process.env.UNDERSTUDY_TEST_SECRET = 'a word of the caller';
  try {
    const user = '$(tr -s " " < /proc/self/uid_map | cut -d " " -f 3)';
    const environment = '$(tr "\\0" "\\n" < /proc/$PPID/environ | wc -l)';
    const files = `$(ls -d /root /home /var /sys ${folder}/image 2> /dev/null | wc -l)`;
    const links = '$(ls /proc/sys/net/ipv4/conf | grep -cv -e all -e default -e lo)';
    blkid(`echo "TYPE=user ${user} environment ${environment} files ${files} links ${links}"`);
    const { why } = await used(image);
    expect(why).toContain(`user ${OWN_USER} environment 0 files 0 links 0`);
  } finally {
    delete process.env.UNDERSTUDY_TEST_SECRET;
  }
});

test.each([
  ['brings its process down', 'kill -KILL $PPID'],
  ['wants all memory', 'exec node -e "const all = []; for (;;) all.push(Buffer.alloc(1 << 28, 1))"'],
  ['says anything', 'head -c 100000 /dev/urandom'],
])('isolated - a program that %s: all of it is copied, and the next look is answered', async (_, script) => {
  blkid(script);
  const { endBytes, skip, why } = await used(image);
  expect({ endBytes, skip }).toEqual({ endBytes: 32 * MIB, skip: [] });
  expect(why).toMatch(/^whole: /);
  process.env.PATH = before;
  expect((await used(image)).skip.length).toBeGreaterThan(0);
});
