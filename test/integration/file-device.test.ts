// Files and block devices pass the suite of all devices: past the page cache, through it, on tmpfs, and on loop devices.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/mod.ts';
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

function loopStorage(content: Uint8Array): DeviceStorage {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-loop-'));
  const image = join(folder, 'image');
  writeFileSync(image, content);
  const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  return {
    open: (role) => openFileDevice({ path: device, role, direct: true, exclusive: role === 'target' }),
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
function fullStorage(content: Uint8Array): DeviceStorage {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'understudy-test', folder]);
  const path = join(folder, 'image');
  writeFileSync(path, '');
  truncateSync(path, content.byteLength);
  return {
    open: (role) => openFileDevice({ path, role, direct: false }),
    content: () => readFileSync(path),
    dispose: () => {
      execFileSync('umount', [folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

describeDevice('file past the page cache', {
  create: (content) => fileStorage(content, { direct: true, parent: tmpdir() }),
  faults: { full: fullStorage },
});
describeDevice('file through the page cache', {
  create: (content) => fileStorage(content, { direct: false, parent: tmpdir() }),
});
describeDevice('file on tmpfs', { create: (content) => fileStorage(content, { direct: true, parent: '/dev/shm' }) });
describeDevice('loop device', { create: loopStorage }, { sizeMultipleBytes: 512 });

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
