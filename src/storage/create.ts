// A storage node on this machine: checks what it is given, and puts the parts together.
import { type EpochGate, present, UnderstudyError } from '../base/mod.ts';
import type { IdentityEngine } from '../identity/mod.ts';
import type { Store } from '../store/mod.ts';
import { OVERLAY_BYTES_MIN } from './daemon/mod.ts';
import type { Listen } from './gateway/mod.ts';
import { type LocalStorageNode, NodeOfBackend } from './node.ts';
import { QemuBackend } from './qemu-backend.ts';
import { Records } from './records.ts';
import { gateAboveFloor, stampsAt } from './stamps/mod.ts';
import { refuseSameStorage, type VolumeName } from './volume-list.ts';

export interface StorageNodeOptions {
  /** Lower-case letters, digits and "-"; one node for a name and a store. */
  readonly name: string;
  /**
   * Absolute path, not in the state folder: stamps, backups and overlays. Made if it is not there. One node for a
   * folder.
   */
  readonly folder: string;
  /**
   * Absolute path, on a local file system: sockets, locks, plans that hold secrets. Made with mode 0700 if it is not
   * there. At most about 90 characters, because sockets lie in it.
   */
  readonly stateFolder: string;
  readonly volumes: readonly VolumeName[];
  /** Where hosts find their volumes: `stateFolder`/nbd, or gateways. */
  readonly listen: Listen;
  readonly store: Store;
  readonly gate: EpochGate;
  readonly identity: IdentityEngine;
  /** Bytes a second that copies may take from each source; null: no limit. */
  readonly backgroundRate: number | null;
  /** 1 MiB and up: what one snapshot may keep of blocks that its host overwrites. */
  readonly overlayBytesMax: number;
}

/**
 * Starts a storage node, or takes over from one that has ended: finds its daemon, or starts one; serves what is
 * attached; removes what was left half-done.
 * @throws CONFIG_INVALID, TOOL_MISSING, STORAGE_FAILED (also while another process runs the node), VOLUME_STATE,
 *   STORE_*
 */
export async function createStorageNode(options: StorageNodeOptions): Promise<LocalStorageNode> {
  check(options);
  const { name, store, identity, volumes } = options;
  const gate = gateAboveFloor(options.gate, () => stamps.floor());
  let pathOf = pathsOf(volumes);
  const stamps = stampsAt(options.folder, (volume) => pathOf(volume));
  const records = new Records(store, name, stamps);
  let { starts, shutdowns } = await records.daemon();
  const backend = new QemuBackend({
    ...options,
    gateways: records.gateways,
    memory: {
      restarts: () => Math.max(0, starts - shutdowns - 1),
      async started() {
        await records.changeDaemon((record) => {
          starts = record.starts + 1;
          return { starts, address: null };
        });
      },
      async shutDown() {
        await records.changeDaemon((record) => {
          shutdowns = record.shutdowns + 1;
          return { shutdowns, address: null };
        });
      },
      async address() {
        return (await records.daemon()).address;
      },
      async keepAddress(address) {
        await records.changeDaemon(() => ({ address }));
      },
    },
  });
  // A configuration that is read again may put a volume elsewhere.
  pathOf = (volume) => backend.pathOf(volume);
  const node = new NodeOfBackend(
    { name, store, gate, identity, backend, volumes: volumes.map((one) => one.name) },
    records,
  );
  await node.start();
  return node;
}

function pathsOf(volumes: readonly VolumeName[]): (volume: string) => string {
  const paths = new Map(volumes.map(({ name, path }) => [name, path]));
  return (volume) => present(paths.get(volume), `the path of ${volume}`);
}

function check({ volumes, overlayBytesMax }: StorageNodeOptions): void {
  if (!(overlayBytesMax >= OVERLAY_BYTES_MIN)) {
    throw new UnderstudyError('CONFIG_INVALID', `an overlay has at least ${OVERLAY_BYTES_MIN} bytes`);
  }
  refuseSameStorage(volumes);
}
