// A path on this machine under which tools like dumpe2fs can look at a source. An NBD source is shown as a file by
// nbdfuse(1), read-only and in a folder that only this user can enter, for as long as one function runs.
import { mkdir, mkdtemp, open, realpath, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { blockDeviceBytes } from '../../linux/mod.ts';
import { mountNbd } from './nbd-mount.ts';

export interface LocalView {
  /** Absolute, and without "?", which e2fsprogs would take for the start of options. */
  readonly path: string;
  readonly sizeBytes: number;
  /** 'image' when nothing tells the sector size that partition tables in it count in. */
  readonly kind: 'image' | 'block';
}

export interface LocalViewOptions {
  /** After so long an NBD source is given up with SOURCE_TIMEOUT. @default 180000 */
  readonly timeoutMs?: number;
}

/**
 * Runs `use` with a local view of a source: the path of a raw file or block device, or an NBD URI. The view ends with it.
 * @throws EXTENT_UNSUPPORTED for standard input, pipes and other URIs; SOURCE_NOT_FOUND, SOURCE_UNREADABLE, SOURCE_KIND;
 * SOURCE_UNAVAILABLE or SOURCE_TIMEOUT when the NBD server refuses, goes away or is silent; TOOL_MISSING.
 */
export async function withLocalView<T>(
  source: string,
  use: (view: LocalView) => Promise<T>,
  options: LocalViewOptions = {},
): Promise<T> {
  if (/^nbds?(\+unix|\+vsock)?:\/\//i.test(source)) return withNbdView(source, use, options.timeoutMs ?? 180_000);
  if (source === '-' || /^[a-z][a-z0-9+.-]*:\/\//i.test(source)) {
    const name = source === '-' ? 'standard input' : source;
    throw new UnderstudyError(
      'EXTENT_UNSUPPORTED',
      `${name} cannot be searched for partitions and file systems; copy all of it, or a number of bytes`,
    );
  }
  const found = await measure(source);
  if (!found.path.includes('?')) return use(found);
  return withPrivateFolder(async (folder) => {
    const path = join(folder, 'source');
    await symlink(found.path, path);
    return use({ ...found, path });
  });
}

async function measure(source: string): Promise<LocalView> {
  try {
    const path = await realpath(source);
    const facts = await stat(path);
    if (facts.isDirectory()) throw new UnderstudyError('SOURCE_KIND', `${source} is a directory`);
    if (!facts.isFile() && !facts.isBlockDevice()) {
      throw new UnderstudyError(
        'EXTENT_UNSUPPORTED',
        `${source} is a stream, which cannot be searched for file systems`,
      );
    }
    const file = await open(path, 'r');
    try {
      // The size of the file as it was opened: the name may have moved on since.
      if (facts.isBlockDevice()) return { path, sizeBytes: blockDeviceBytes(file.fd), kind: 'block' };
      return { path, sizeBytes: (await file.stat()).size, kind: 'image' };
    } finally {
      await file.close();
    }
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ENXIO') {
      throw new UnderstudyError('SOURCE_NOT_FOUND', `${source} does not exist`, { cause });
    }
    if (errno === 'EACCES' || errno === 'EPERM') {
      throw new UnderstudyError('SOURCE_UNREADABLE', `${source} may not be read by this user`, { cause });
    }
    throw cause;
  }
}

async function withNbdView<T>(uri: string, use: (view: LocalView) => Promise<T>, timeoutMs: number): Promise<T> {
  return withPrivateFolder(async (folder) => {
    const mountPoint = join(folder, 'mount');
    await mkdir(mountPoint, { mode: 0o700 });
    const mount = await mountNbd(uri, mountPoint, timeoutMs);
    let outcome: { readonly value: T } | { readonly error: unknown };
    try {
      const { size } = await stat(mount.filePath);
      outcome = { value: await use({ path: mount.filePath, sizeBytes: size, kind: 'image' }) };
    } catch (error) {
      outcome = { error };
    } finally {
      await mount.close();
    }
    // A lost server makes tools fail or see less than there is, so it outranks whatever they made of it.
    if (mount.failure !== null) throw mount.failure;
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  });
}

async function withPrivateFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  // mkdtemp(3) makes it with mode 0700.
  const folder = await mkdtemp(join(tmpdir(), 'understudy-view-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
