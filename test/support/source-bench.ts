// What the tests of sources share: a folder of images that goes with the test, and programs run in it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../../src/base/mod.ts';
import {
  type IdentifiedSource,
  identifySource,
  type PreparedSource,
  prepareSource,
  type SourceOptions,
} from '../../src/replication/source/mod.ts';
import { SourceClient } from './source-client.ts';

export interface Opened {
  readonly source: IdentifiedSource;
  readonly prepared: PreparedSource;
  readonly client: SourceClient;
}

/** 4 MiB and one sector: noise, zeros, other noise at each MiB; little of it, because bzip2 and xz take their time. */
export function imageBytes(): Buffer {
  const bytes = Buffer.alloc(4 * 1024 * 1024 + 512);
  const random = seededRandom(11);
  for (let part = 0; part < bytes.length; part += 1024 * 1024) {
    const end = Math.min(part + 192 * 1024, bytes.length);
    for (let at = part; at < end; at += 4) bytes.writeUInt32LE(random.below(2 ** 32), at);
  }
  return bytes;
}

export class SourceBench {
  readonly folder = mkdtempSync(join(tmpdir(), 'understudy-test-'));
  readonly #undo: (() => void | Promise<void>)[] = [];

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, bytes: Uint8Array | string): string {
    writeFileSync(this.path(name), bytes);
    return this.path(name);
  }

  bytes(name: string): Buffer {
    return readFileSync(this.path(name));
  }

  run(tool: string, ...args: readonly string[]): string {
    return execFileSync(tool, args, { cwd: this.folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** What the tool makes of the bytes: gzip, xz, zstd, bzip2 and their like. */
  compress(tool: string, bytes: Uint8Array, ...args: readonly string[]): Buffer {
    return execFileSync(tool, ['-1c', ...args], { input: bytes, maxBuffer: 64 * 1024 * 1024, stdio: 'pipe' });
  }

  /** An image of the format with these bytes in it. */
  convert(format: string, name: string, bytes: Uint8Array, ...options: readonly string[]): string {
    const raw = this.write(`${name}.content`, bytes);
    this.run('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, raw, this.path(name));
    rmSync(raw);
    return this.path(name);
  }

  async open(options: SourceOptions): Promise<Opened> {
    const source = await identifySource(options);
    const prepared = await prepareSource(source);
    this.later(() => prepared.close());
    const client = await SourceClient.open(prepared.descriptor);
    this.later(() => client.close());
    return { source, prepared, client };
  }

  /** Done when the test ends, the last one first. */
  later(undo: () => void | Promise<void>): void {
    this.#undo.push(undo);
  }

  async clear(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
    rmSync(this.folder, { recursive: true });
  }
}
