// The node with qemu-storage-daemon and the copy engine, on raw files and on block devices.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NbdHost, StorageStage } from '../rig/storage-stage.ts';
import { MARK_OFFSET, markOf, UNKNOWN_WORD } from '../support/mark-identity.ts';
import { describeStorage, LEAD_BYTES, SPARE_BYTES, type StorageRig } from './storage.ts';

const ROOM_BYTES = 12 * SPARE_BYTES;

async function rig(block: boolean): Promise<StorageRig> {
  const mark = (name: string, more = '') => ({ offsetBytes: MARK_OFFSET, bytes: markOf(name, more) });
  const stage = await StorageStage.make({
    block,
    roomBytes: ROOM_BYTES,
    overlayBytesMax: SPARE_BYTES,
    volumes: [
      { name: 'web1', bytes: LEAD_BYTES, patch: mark('web1') },
      { name: 'spare1', bytes: SPARE_BYTES, patch: mark('spare1') },
      { name: 'spare2', bytes: SPARE_BYTES, patch: mark('spare2', UNKNOWN_WORD) },
      { name: 'tiny', bytes: LEAD_BYTES / 2, patch: mark('tiny') },
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
      const uri = volumes.find(({ name }) => name === volume)?.attachment?.uri ?? '';
      const host = hosts.get(volume) ?? stage.host(uri);
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
    close: () => stage.close(),
  };
}

describeStorage('qemu-storage-daemon, raw files', () => rig(false));
describeStorage('qemu-storage-daemon, block devices', () => rig(true), 'content');
