// The node with qemu-storage-daemon and the copy engine, on raw files and on block devices, its hosts at the Unix
// socket and at gateways.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NbdHost } from '../rig/nbd-host.ts';
import { StorageStage, type StorageStageOptions } from '../rig/storage-stage.ts';
import { LASTING_WORD, MARK_OFFSET, markOf, UNKNOWN_WORD } from '../support/mark-identity.ts';
import { describeStorage, LEAD_BYTES, SPARE_BYTES, type StorageRig } from './storage.ts';

const ROOM_BYTES = 12 * SPARE_BYTES;

async function rig(options: Pick<StorageStageOptions, 'block' | 'network'>): Promise<StorageRig> {
  const mark = (name: string, more = '') => ({ offsetBytes: MARK_OFFSET, bytes: markOf(name, more) });
  const stage = await StorageStage.make({
    ...options,
    roomBytes: ROOM_BYTES,
    overlayBytesMax: SPARE_BYTES,
    volumes: [
      { name: 'web1', bytes: LEAD_BYTES, patch: mark('web1') },
      { name: 'spare1', bytes: SPARE_BYTES, patch: mark('spare1') },
      { name: 'spare2', bytes: SPARE_BYTES, patch: mark('spare2', UNKNOWN_WORD) },
      { name: 'tiny', bytes: LEAD_BYTES / 2, patch: mark('tiny', LASTING_WORD) },
    ],
  });
  const hosts = new Map<string, NbdHost>();
  return {
    get node() {
      return stage.node;
    },
    content: async (volume) => stage.content(volume),
    async hostWrite(volume, offsetBytes, byte, lengthBytes) {
      const { volumes } = await stage.node.status();
      const attachment = volumes.find(({ name }) => name === volume)?.attachment;
      const host = hosts.get(volume) ?? stage.host(attachment?.uri ?? '', attachment?.host);
      hosts.set(volume, host);
      await host.write(offsetBytes, byte, lengthBytes);
    },
    async restart() {
      await stage.process.stop();
      await stage.start();
    },
    async fill() {
      const { freeBytes } = await stage.node.status();
      writeFileSync(join(stage.storageFolder, 'ballast'), Buffer.alloc(freeBytes - LEAD_BYTES));
    },
    spoil: async (volume, engagement) => stage.spoilBackup(volume, engagement),
    close: () => stage.close(),
  };
}

const HOSTS = ['web1', 'spare1', 'spare2', 'other'];

describeStorage('qemu-storage-daemon, raw files', () => rig({}));
describeStorage('qemu-storage-daemon, block devices', () => rig({ block: true }), 'content');
describeStorage('qemu-storage-daemon, gateways with TLS', () => rig({ network: { hosts: HOSTS } }));
describeStorage('qemu-storage-daemon, one port in plain text', () => rig({ network: 'plain-port' }), 'attachment');
