// A FAT file system as a tree of nodes by path: what the firmware of a machine starts from (UEFI specification, 13.3).
// It knows no owners, modes, links or attributes; all is root's, as where Linux mounts one.
import type { ImageFile } from '../ext/mod.ts';
import { type Entry, type ExtendedAttribute, type ImageTree, nameOf, parentOf } from '../tree/mod.ts';
import type { BootSector } from './boot-sector.ts';
import { damaged, type FatNode, keyOf, nodesIn } from './folder.ts';

const MODE = 0o755;
/** What the specification allows to a folder. */
const FOLDER_BYTES_MAX = 65536 * 32;
const FIRST_CLUSTER = 2;
/** Before all are forgotten and read again. */
const FOLDERS_KEPT_MAX = 1000;

/** Where a node's bytes are; null: where FAT12 and FAT16 have their root. */
interface Located {
  readonly cluster: number | null;
  readonly node: FatNode | null;
}

export class FatTree implements ImageTree {
  readonly #file: ImageFile;
  readonly #at: number;
  readonly #boot: BootSector;
  readonly #folders = new Map<string, Promise<ReadonlyMap<string, FatNode>>>();

  /** @param offsetBytes where in the file it begins */
  constructor(file: ImageFile, offsetBytes: number, boot: BootSector) {
    this.#file = file;
    this.#at = offsetBytes;
    this.#boot = boot;
  }

  get uuid(): string {
    return this.#boot.uuid;
  }

  async entry(path: string): Promise<Entry | null> {
    const located = await this.#locate(path);
    if (located === null) return null;
    const kind = located.node?.kind ?? 'folder';
    const sizeBytes = located.node?.sizeBytes ?? 0;
    return { path, kind, mode: MODE, uid: 0, gid: 0, sizeBytes, links: 1, target: null };
  }

  async names(path: string): Promise<readonly string[]> {
    return [...(await this.#folder(path)).values()].map(({ name }) => name).sort();
  }

  async bytes(path: string, bytesMax: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let left = bytesMax;
    for await (const piece of this.pieces(path)) {
      // A copy: what was read is a part of a larger piece, which would be kept as a whole.
      parts.push(Buffer.from(piece.subarray(0, left)));
      left -= piece.length;
      if (left <= 0) break;
    }
    return Buffer.concat(parts);
  }

  async *pieces(path: string): AsyncGenerator<Buffer> {
    const node = (await this.#locate(path))?.node;
    if (node?.kind !== 'file') return;
    let left = node.sizeBytes;
    for await (const piece of this.#clusters(node.cluster, left)) {
      yield piece.subarray(0, left);
      left -= piece.length;
    }
    if (left > 0) throw damaged(this.#file.name, 'a file that ends before its end');
  }

  async modified(path: string): Promise<number> {
    return (await this.#locate(path))?.node?.modified ?? 0;
  }

  async attributes(): Promise<readonly ExtendedAttribute[]> {
    return [];
  }

  /** Null also when something above it is no folder. */
  async #locate(path: string): Promise<Located | null> {
    if (path === '/') return { cluster: this.#boot.entryBits === 32 ? this.#boot.rootCluster : null, node: null };
    const node = (await this.#folder(parentOf(path))).get(keyOf(nameOf(path)));
    return node === undefined ? null : { cluster: node.cluster, node };
  }

  #folder(path: string): Promise<ReadonlyMap<string, FatNode>> {
    const key = keyOf(path);
    const known = this.#folders.get(key);
    if (known !== undefined) return known;
    if (this.#folders.size >= FOLDERS_KEPT_MAX) this.#folders.clear();
    const read = this.#readFolder(path);
    this.#folders.set(key, read);
    return read;
  }

  async #readFolder(path: string): Promise<ReadonlyMap<string, FatNode>> {
    const located = await this.#locate(path);
    if (located === null || located.node?.kind === 'file') return new Map();
    await this.#refuseCircle(path, located.cluster);
    const isWide = this.#boot.entryBits === 32;
    const { rootOffsetBytes, rootBytes } = this.#boot;
    if (located.cluster === null) return nodesIn(await this.#read(rootOffsetBytes, rootBytes), this.#file.name, isWide);
    const parts: Buffer[] = [];
    for await (const piece of this.#clusters(located.cluster, FOLDER_BYTES_MAX)) parts.push(piece);
    return nodesIn(Buffer.concat(parts), this.#file.name, isWide);
  }

  /** A folder that is one of those above it has no end. */
  async #refuseCircle(path: string, cluster: number | null): Promise<void> {
    for (let above = path; above !== '/'; ) {
      above = parentOf(above);
      const same = (await this.#locate(above))?.cluster === cluster;
      if (same && cluster !== 0) throw damaged(this.#file.name, 'a folder within itself');
    }
  }

  /**
   * The chain that begins with a cluster, as far as somebody wants it: so one that leads round in a circle has an end
   * too.
   */
  async *#clusters(first: number, bytesMax: number): AsyncGenerator<Buffer> {
    const { clusterBytes, clusterCount, dataOffsetBytes, entryBits } = this.#boot;
    const end = entryBits === 12 ? 0xff8 : entryBits === 16 ? 0xfff8 : 0x0ffffff8;
    let left = bytesMax;
    for (let cluster = first; cluster !== 0 && cluster < end && left > 0; cluster = await this.#after(cluster)) {
      if (cluster < FIRST_CLUSTER || cluster >= clusterCount + FIRST_CLUSTER)
        throw damaged(this.#file.name, 'a chain that leads out of it');
      yield await this.#read(dataOffsetBytes + (cluster - FIRST_CLUSTER) * clusterBytes, clusterBytes);
      left -= clusterBytes;
    }
  }

  async #after(cluster: number): Promise<number> {
    const { entryBits, tableOffsetBytes } = this.#boot;
    if (entryBits === 32) return (await this.#read(tableOffsetBytes + cluster * 4, 4)).readUInt32LE(0) & 0x0fffffff;
    if (entryBits === 16) return (await this.#read(tableOffsetBytes + cluster * 2, 2)).readUInt16LE(0);
    // One and a half bytes each.
    const pair = (await this.#read(tableOffsetBytes + cluster + (cluster >>> 1), 2)).readUInt16LE(0);
    return (cluster & 1) === 0 ? pair & 0xfff : pair >>> 4;
  }

  async #read(at: number, lengthBytes: number): Promise<Buffer> {
    const bytes = this.#file.read(this.#at + at, lengthBytes);
    if (bytes.length < lengthBytes) throw damaged(this.#file.name, 'its end behind that of the image');
    return bytes;
  }
}
