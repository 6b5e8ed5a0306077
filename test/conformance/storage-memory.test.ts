import { memoryEpochGate, present } from '../../src/base/mod.ts';
import { NodeOfBackend } from '../../src/storage/node.ts';
import { memoryStore } from '../../src/store/mod.ts';
import { LASTING_WORD, MARK_OFFSET, markIdentity, markOf, memoryDisk, UNKNOWN_WORD } from '../support/mark-identity.ts';
import { MemoryBackend, type MemoryDisks } from '../support/memory-backend.ts';
import { describeStorage, LEAD_BYTES, SPARE_BYTES, type StorageRig } from './storage.ts';

const VOLUMES = ['web1', 'spare1', 'spare2', 'tiny'];
const ROOM_BYTES = 10 * SPARE_BYTES;

function disk(bytes: number, byte: number, mark: Buffer): Buffer {
  const content = Buffer.alloc(bytes, byte);
  mark.copy(content, MARK_OFFSET);
  return content;
}

describeStorage('memory', async (): Promise<StorageRig> => {
  const disks = new Map([
    ['web1', disk(LEAD_BYTES, 1, markOf('web1'))],
    ['spare1', disk(SPARE_BYTES, 2, markOf('spare1'))],
    ['spare2', disk(SPARE_BYTES, 3, markOf('spare2', UNKNOWN_WORD))],
    ['tiny', disk(LEAD_BYTES / 2, 4, markOf('tiny', LASTING_WORD))],
  ]);
  const world = {
    disks,
    backups: new Map<string, Buffer>(),
    secrets: new Map(),
    served: new Set<string>(),
    roomBytes: ROOM_BYTES,
    texts: new Map<string, string>(),
  };
  let room = ROOM_BYTES;
  const seen: MemoryDisks = {
    ...world,
    get roomBytes() {
      return room;
    },
  };
  const store = memoryStore();
  const gate = memoryEpochGate();
  const start = async (): Promise<NodeOfBackend> => {
    const backend = new MemoryBackend(seen);
    const identity = markIdentity(memoryDisk((path) => disks.get(path.replace('/memory/', '')) ?? Buffer.alloc(0)));
    const node = new NodeOfBackend({ name: 'memory', volumes: VOLUMES, store, gate, identity, backend });
    await node.start();
    return node;
  };
  let node = await start();
  return {
    get node() {
      return node;
    },
    content: async (volume) => Buffer.from(disks.get(volume) ?? Buffer.alloc(0)),
    async hostWrite(volume, offsetBytes, byte, lengthBytes) {
      if (!world.served.has(volume)) throw new Error(`${volume} is not served`);
      disks.get(volume)?.fill(byte, offsetBytes, offsetBytes + lengthBytes);
    },
    async restart() {
      await node.close();
      node = await start();
    },
    async fill() {
      room = 0;
    },
    async spoil(volume, engagement) {
      const backup = present(world.backups.get(`${volume} ${engagement}`), 'a backup');
      backup.writeUInt8(backup.readUInt8(SPARE_BYTES / 2) ^ 1, SPARE_BYTES / 2);
    },
    close: () => node.close(),
  };
});
