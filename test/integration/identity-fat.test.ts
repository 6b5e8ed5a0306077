// Goal: our reader of FAT sees what mtools wrote, and nothing that somebody wrote over it by chance or on purpose does harm.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf, seededRandom } from '../../src/base/mod.ts';
import { type FatTree, openFat } from '../../src/identity/fat/mod.ts';
import { makeFile, run } from '../support/disk-image.ts';

const signal = new AbortController().signal;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-fat-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the reader of FAT', () => {
  test.each([12, 16, 32] as const)(
    'FAT%i - sees what mtools wrote: names, sizes, content, folders of many files',
    async (bits) => {
      const path = makeFile(join(folder, 'fat'), bits === 32 ? 40 * 1024 * 1024 : 8 * 1024 * 1024);
      run('mkfs.vfat', ['-F', String(bits), '-s', bits === 12 ? '8' : '1', path]);
      const script = `
      mkdir "$2"; cd "$2"; export MTOOLS_SKIP_CHECK=1 LC_ALL=C.UTF-8
      mkdir -p EFI/Boot deep/er/and/deeper; for i in $(seq 300); do echo "$i" > "deep/file number $i.text"; done
      head -c 300000 /dev/urandom > EFI/Boot/large.bin; : > empty; echo x > UPPER.TXT; echo y > lower.txt; echo z > 'späß.txt'
      mcopy -s -Q -i "$1" * ::/
      rm deep/file\\ number\\ 7?.text; mdel -i "$1" '::/deep/file number 7?.text'
      head -c 70000 /dev/urandom > refill; mcopy -i "$1" refill ::/
      find . -type f -exec sha256sum {} + | sort -k 2`;
      const expected = run('bash', ['-c', script, 'sh', path, join(folder, 'files')]);
      const { tree, file } = await openFat(path, path, signal);
      const lines: string[] = [];
      const walk = async (at: string): Promise<void> => {
        for (const name of await tree.names(at)) {
          const here = at === '/' ? `/${name}` : `${at}/${name}`;
          const entry = await tree.entry(here);
          if (entry?.kind === 'folder') await walk(here);
          else {
            const bytes = await tree.bytes(here, 1_000_000);
            expect(bytes.length).toBe(entry?.sizeBytes);
            lines.push(`${createHash('sha256').update(bytes).digest('hex')}  .${here}`);
          }
        }
      };
      await walk('/');
      expect(lines.sort((one, other) => (one.slice(66) < other.slice(66) ? -1 : 1)).join('\n')).toBe(expected.trim());
      expect((await tree.entry('/efi/BOOT/LARGE.BIN'))?.sizeBytes).toBe(300_000);
      await file.close();
    },
  );

  test('nonsense in its tables is an error of the registry or a tree, in bounded time', async () => {
    const path = makeFile(join(folder, 'fat'), 8 * 1024 * 1024);
    run('mkfs.vfat', ['-F', '16', '-s', '1', path]);
    run('sh', [
      '-c',
      'mmd -i "$1" ::/a ::/a/b; for i in 1 2 3; do mcopy -i "$1" /etc/passwd ::/a/b/file$i; done',
      'sh',
      path,
    ]);
    const good = readFileSync(path);
    const random = seededRandom(20_261_127);
    let damaged = 0;
    for (let round = 0; round < 60; round++) {
      const bytes = Buffer.from(good);
      for (let index = 0; index < 30; index++) bytes[random.below(index < 5 ? 512 : 120 * 1024)] = random.below(256);
      writeFileSync(path, bytes);
      damaged += await walkOrFail(path);
    }
    expect(damaged).toBeGreaterThan(0);
  });
});

async function walkOrFail(path: string): Promise<number> {
  let left = 5000;
  try {
    const { tree, file } = await openFat(path, path, signal);
    try {
      await walkAll(tree, '/', () => left-- > 0);
      return 0;
    } finally {
      await file.close();
    }
  } catch (error) {
    expect(codeOf(error)).toBe('IMAGE_DAMAGED');
    return 1;
  }
}

async function walkAll(tree: FatTree, at: string, more: () => boolean): Promise<void> {
  for (const name of await tree.names(at)) {
    const here = at === '/' ? `/${name}` : `${at}/${name}`;
    if (!more()) return;
    if ((await tree.entry(here))?.kind === 'folder') await walkAll(tree, here, more);
    else await tree.bytes(here, 100_000);
  }
}
