// The file that a source is, held open from the moment it was identified: what is copied is the open file, whatever becomes of
// its name. It may be removed, or another file may take its place by rename(2), as downloads and image builds do.
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { fileError, fileIdentity } from '../device/file.ts';
import type { IdentifiedSource } from './identify.ts';

export interface HeldSource {
  /** The same source by a path that every thread of this process, and its user's other processes, find it under. */
  readonly source: IdentifiedSource;
  /** What a reader in a process of its own inherits as standard input; null where there is nothing to inherit. */
  readonly fd: number | null;
  close(): void;
}

/** Path of a source that a process has as its standard input. */
export const STDIN_PATH = '/proc/self/fd/0';

/** @throws SOURCE_CHANGED when another file has the name by now; SOURCE_NOT_FOUND, SOURCE_UNREADABLE */
export function holdSource(source: IdentifiedSource): HeldSource {
  const { kind, path, uri } = source;
  // Standard input is held as it is; a block device is a device under any name.
  if (kind === 'stdin' || path === STDIN_PATH) return { source, fd: 0, close: () => undefined };
  if (kind !== 'file' || path === undefined) return { source, fd: null, close: () => undefined };
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw fileError('source', `open ${uri}`, errnoOf(cause), cause);
  }
  if (fileIdentity(fstatSync(fd)) !== source.storage) {
    closeSync(fd);
    throw new UnderstudyError('SOURCE_CHANGED', `${uri} is another file than a moment ago`);
  }
  return {
    source: { ...source, path: `/proc/${process.pid}/fd/${fd}` },
    fd,
    close: () => closeSync(fd),
  };
}

/** The source as a process finds it that inherited `HeldSource.fd` as its standard input. */
export function asInherited(source: IdentifiedSource): IdentifiedSource {
  return source.kind === 'file' ? { ...source, path: STDIN_PATH } : source;
}
