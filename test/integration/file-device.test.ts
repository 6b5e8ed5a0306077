// Files and block devices pass the suite of all devices: past the page cache, through it, on tmpfs, and on loop devices.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf, limits } from '../../src/base/mod.ts';
import { allocatePages } from '../../src/linux/mod.ts';
import type { Device } from '../../src/replication/device/contract.ts';
import { openFileDevice } from '../../src/replication/device/file.ts';
import { type DeviceStorage, describeDevice } from '../conformance/device.ts';

function fileStorage(content: Uint8Array, options: { direct: boolean; parent: string }): DeviceStorage {
  const folder = mkdtempSync(join(options.parent, 'understudy-file-'));
  const path = join(folder, 'image');
  writeFileSync(path, content);
  return {
    open: (role) => openFileDevice({ path, role, direct: options.direct }),
    content: () => readFileSync(path),
    dispose: () => rmSync(folder, { recursive: true }),
  };
}

function loopStorage(content: Uint8Array, { direct } = { direct: true }): DeviceStorage {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-loop-'));
  const image = join(folder, 'image');
  writeFileSync(image, content);
  const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  return {
    open: (role) => openFileDevice({ path: device, role, direct, exclusive: role === 'target' }),
    content: () => {
      execFileSync('blockdev', ['--flushbufs', device]);
      return readFileSync(device);
    },
    dispose: () => {
      execFileSync('losetup', ['--detach', device]);
      rmSync(folder, { recursive: true });
    },
  };
}

/** A file that claims its size on a file system with room for a fraction of it. */
function fullStorage(content: Uint8Array): DeviceStorage & { readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'understudy-test', folder]);
  const path = join(folder, 'image');
  writeFileSync(path, '');
  truncateSync(path, content.byteLength);
  return {
    path,
    open: (role) => openFileDevice({ path, role, direct: false }),
    content: () => readFileSync(path),
    dispose: () => {
      execFileSync('umount', [folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

/** A loop device, through the page cache, whose file has no room for what is written: that shows when it leaves the cache. */
function losingStorage(content: Uint8Array): DeviceStorage {
  const full = fullStorage(content);
  const image = full.path;
  const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  return {
    open: (role) => openFileDevice({ path: device, role, direct: false }),
    content: () => readFileSync(image),
    dispose: () => {
      execFileSync('losetup', ['--detach', device]);
      return full.dispose();
    },
  };
}

/** Targets of this process's descriptors that have O_DIRECT. */
function directPaths(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const flags = /flags:\s*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
      return (Number.parseInt(flags, 8) & constants.O_DIRECT) === 0 ? [] : [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}

/** Bytes that this process made disks read (proc(5), read_bytes). */
function diskBytesRead(): number {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

function transfer(device: Device, kind: 'read' | 'write', buffer: Uint8Array): void {
  device.submit({ kind, tag: 1, offsetBytes: 0, buffer });
  const [completion] = device.reap(limits.IO_TIMEOUT_MS);
  expect(completion).toMatchObject({ bytes: buffer.byteLength, error: null });
}

describeDevice('file past the page cache', {
  create: (content) => fileStorage(content, { direct: true, parent: tmpdir() }),
  faults: { full: fullStorage },
});
describeDevice('file through the page cache', {
  create: (content) => fileStorage(content, { direct: false, parent: tmpdir() }),
});
describeDevice('file on tmpfs', { create: (content) => fileStorage(content, { direct: true, parent: '/dev/shm' }) });
describeDevice('loop device', { create: loopStorage, faults: { flush: losingStorage } }, { sizeMultipleBytes: 512 });

/** A target of 1 MiB that was written, and the buffer that it was written from. */
function withSevens(
  create: (content: Uint8Array) => DeviceStorage,
  use: (device: Device, buffer: Uint8Array) => void,
): void {
  const storage = create(new Uint8Array(limits.MIB));
  const memory = allocatePages(limits.MIB);
  const buffer = new Uint8Array(memory.buffer).fill(7);
  const device = storage.open('target');
  try {
    transfer(device, 'write', buffer);
    use(device, buffer);
  } finally {
    device.close();
    memory.unmap();
    void storage.dispose();
  }
}

describe('file device', () => {
  it('opens a block device for itself alone', () => {
    const storage = loopStorage(new Uint8Array(4096));
    try {
      const first = storage.open('target');
      expect(() => storage.open('target')).toThrow(expect.objectContaining({ code: 'TARGET_IN_USE' }));
      first.close();
      storage.open('target').close();
    } finally {
      void storage.dispose();
    }
  });

  it.each(['source', 'target'] as const)('goes past the page cache with a block device as %s', (role) => {
    const storage = loopStorage(new Uint8Array(4096));
    try {
      // The name is in /dev, which is a file system in memory; the device is not.
      const device = storage.open(role);
      expect(device.info.cached).toBe(false);
      expect(directPaths()).toContain(device.info.uri);
      device.close();
    } finally {
      void storage.dispose();
    }
  });

  it.each([
    ['file', (content: Uint8Array) => fileStorage(content, { direct: false, parent: tmpdir() })],
    ['loop device', (content: Uint8Array) => loopStorage(content, { direct: false })],
  ])('reads what a %s holds, not what the page cache has of it', (_, create) => {
    withSevens(create, (device, buffer) => {
      const read = diskBytesRead();
      buffer.fill(0);
      transfer(device, 'read', buffer);
      expect(buffer.every((byte) => byte === 7)).toBe(true);
      expect(diskBytesRead() - read).toBeGreaterThanOrEqual(buffer.byteLength);
    });
  });

  it('says of a block that cannot leave the page cache that it is lost, and never again that all is flushed', () => {
    withSevens(losingStorage, (device, buffer) => {
      const lost = expect.objectContaining({ code: 'TARGET_FLUSH_FAILED' });
      expect(() => device.submit({ kind: 'read', tag: 1, offsetBytes: 0, buffer })).toThrow(lost);
      expect(() => device.flush()).toThrow(lost);
    });
  });

  it('speaks of sources and of targets in their own codes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-codes-'));
    const codeOfOpening = (path: string, role: 'source' | 'target') => {
      try {
        openFileDevice({ path, role, direct: false }).close();
        return null;
      } catch (error) {
        return codeOf(error);
      }
    };
    try {
      expect(codeOfOpening(join(folder, 'absent'), 'source')).toBe('SOURCE_NOT_FOUND');
      expect(codeOfOpening(join(folder, 'absent'), 'target')).toBe('TARGET_NOT_FOUND');
      expect(codeOfOpening(folder, 'source')).toBe('SOURCE_KIND');
      expect(codeOfOpening(folder, 'target')).toBe('TARGET_KIND');
      expect(codeOfOpening('/dev/null', 'target')).toBe('TARGET_KIND');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('reports a new fingerprint when the content is written', () => {
    const storage = fileStorage(new Uint8Array(4096), { direct: false, parent: tmpdir() });
    const device = storage.open('source');
    const before = device.fingerprint();
    expect(device.fingerprint()).toBe(before);
    const path = device.info.uri;
    const fd = openSync(path, 'r');
    const { mtimeMs } = fstatSync(fd);
    closeSync(fd);
    while (Date.now() <= Math.ceil(mtimeMs)) writeFileSync(`${path}.clock`, '');
    writeFileSync(path, new Uint8Array(4096).fill(1));
    expect(device.fingerprint()).not.toBe(before);
    device.close();
    void storage.dispose();
  });
});
