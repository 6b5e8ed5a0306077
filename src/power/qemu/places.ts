// Where the files of each machine are, and how it is called.
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { UnderstudyError } from '../../base/mod.ts';
import { MACHINE_USER } from './command.ts';
import type { TlsPlace } from './credentials.ts';
import { uuidOf } from './presence.ts';
import type { QemuSettings } from './settings.ts';

/** sun_path of unix(7), with the final zero. */
const SOCKET_PATH_BYTES_MAX = 108;

export interface Place {
  readonly settings: QemuSettings;
  readonly uuid: string;
  readonly lock: string;
  readonly monitor: string;
  readonly log: string;
  /** Where its certificates are while it reads them. */
  readonly tls: TlsPlace;
}

/** By the host's name. @throws CONFIG_INVALID for a folder whose path is too long for sockets */
export function placesOf(folder: string, hosts: ReadonlyMap<string, QemuSettings>): ReadonlyMap<string, Place> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const real = realpathSync(folder);
  return new Map(
    [...hosts].map(([host, settings]) => {
      const [lock, monitor, log] = ['lock', 'qmp', 'log'].map((end) => join(real, `${host}.${end}`)) as [
        string,
        string,
        string,
      ];
      if (Buffer.byteLength(monitor) >= SOCKET_PATH_BYTES_MAX) {
        throw new UnderstudyError(
          'CONFIG_INVALID',
          `${monitor} is too long for the path of a socket; use a shorter folder`,
        );
      }
      const uuid = uuidOf(real, host);
      const tls = { uuid, folder: real, user: isRoot() ? MACHINE_USER : null };
      return [host, { settings, uuid, lock, monitor, log, tls }];
    }),
  );
}

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
