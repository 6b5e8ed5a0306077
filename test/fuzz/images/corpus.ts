// The images: each follows from the seed and its number. A run of as many as there are kinds has every kind once.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../../src/base/mod.ts';
import { makeFile, place, run } from '../../support/disk-image.ts';
import { makeImage, systemFiles, writeTree } from '../../support/system-image.ts';
import { pick } from '../api/shapes.ts';
import { DISK_SPOILERS, EXT_SPOILERS, QCOW_SPOILERS, type Spoil, signature, VMDK_SPOILERS } from './containers.ts';
import { everyText } from './texts.ts';
import { hostileFiles, hostileLinks, hostileShape, type Tree } from './trees.ts';

const MIB = 1024 * 1024;

export interface HostileImage {
  readonly path: string;
  readonly what: string;
  /** Its structures are, not only what stands in its files. */
  readonly spoilt: boolean;
}

/** Good images that are spoiled, made once. */
interface Bases {
  readonly ext: string;
  readonly disk: string;
  readonly qcow: string;
  readonly vmdk: string;
}

type Make = (path: string, random: Random, number: number) => string;

export class Corpus {
  readonly #folder: string;
  readonly #outside: string;
  readonly #bases: Bases;
  readonly #kinds: readonly Make[];
  readonly #spoilt: ReadonlySet<Make>;

  /** @param outside a file of this machine that no image may reach */
  constructor(folder: string, outside: string) {
    this.#folder = mkdtempSync(join(folder, 'corpus-'));
    this.#outside = outside;
    this.#bases = this.#makeBases();
    const { ext, disk, qcow, vmdk } = this.#bases;
    const files: Make = (path, random, number) => this.#tree(path, hostileFiles(number, random), random);
    const links: Make = (path, random) => this.#tree(path, hostileLinks(outside, random), random);
    const shapes: Make = (path, random) => this.#tree(path, hostileShape(random), random);
    const spoilt = (base: string, spoilers: readonly Spoil[]): Make[] =>
      spoilers.map((spoil) => this.#spoiler(base, spoil));
    const rest = [
      ...spoilt(ext, EXT_SPOILERS),
      ...spoilt(disk, DISK_SPOILERS),
      ...spoilt(qcow, QCOW_SPOILERS),
      ...spoilt(vmdk, VMDK_SPOILERS),
      this.#spoiler(null, signature),
    ];
    this.#spoilt = new Set(rest);
    // Half of them are files that rules read.
    this.#kinds = rest.flatMap((kind, index) => [
      files,
      index % 3 === 0 ? links : index % 3 === 1 ? shapes : files,
      kind,
    ]);
  }

  /** With every kind, and every text of a configuration file. */
  get whole(): number {
    return Math.max(this.#kinds.length, everyText().length);
  }

  image(number: number, seed: number): HostileImage {
    const random = seededRandom(Math.imul(seed + 1, 0x9e37_79b1) ^ Math.imul(number + 1, 0x85eb_ca6b));
    const path = join(this.#folder, `image-${number}`);
    const make = this.#kinds[number % this.#kinds.length] as Make;
    return { path, what: make(path, random, number), spoilt: this.#spoilt.has(make) };
  }

  remove({ path }: HostileImage): void {
    for (const name of [path, `${path}.ext`, `${path}.data`]) rmSync(name, { force: true });
  }

  clear(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spoiler(base: string | null, spoil: Spoil): Make {
    return (path, random) => {
      if (base !== null) copyFileSync(base, path);
      return spoil({ path, random, outside: this.#outside });
    };
  }

  #tree(path: string, { what, files }: Tree, random: Random): string {
    const folder = mkdtempSync(join(this.#folder, 'tree-'));
    const layout = pick(['bare', 'bare', 'gpt', 'mbr'] as const, random);
    const mkfs = ['-t', pick(['ext4', 'ext3', 'ext2'], random), '-O', '^metadata_csum', '-N', '16384'];
    makeImage(path, writeTree(folder, files), { layout, sizeBytes: 32 * MIB, mkfs });
    return `${what} (${layout}, ${mkfs[1]})`;
  }

  #makeBases(): Bases {
    const name = (one: string): string => join(this.#folder, one);
    const ext = name('base-ext');
    // Without check sums, so that what is spoiled reaches the reader.
    makeImage(ext, writeTree(name('tree'), systemFiles()), {
      sizeBytes: 16 * MIB,
      mkfs: ['-t', 'ext4', '-O', '^metadata_csum,^64bit'],
    });
    const disk = makeFile(name('base-disk'), 26 * MIB);
    run(
      'sfdisk',
      ['-q', disk],
      'label: gpt\nstart=2048, size=8192, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\nstart=12288, size=32768\n',
    );
    const fat = makeFile(name('fat'), 4 * MIB);
    run('mkfs.fat', ['-F', '16', '-s', '1', fat]);
    run('mmd', ['-i', fat, '::EFI', '::EFI/BOOT', '::EFI/debian']);
    const loader = name('loader');
    writeFileSync(loader, 'search.fs_uuid 0 root\n');
    for (const file of ['EFI/BOOT/BOOTX64.EFI', 'EFI/debian/grub.cfg']) run('mcopy', ['-i', fat, loader, `::${file}`]);
    place(fat, disk, MIB);
    place(ext, disk, 6 * MIB);
    const qcow = name('base-qcow');
    run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', ext, qcow]);
    const vmdk = name('base-vmdk');
    run('qemu-img', ['convert', '-f', 'raw', '-O', 'vmdk', ext, vmdk]);
    return { ext, disk, qcow, vmdk };
  }
}
