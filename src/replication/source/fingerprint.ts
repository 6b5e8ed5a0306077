import { closeSync, constants, openSync } from 'node:fs';
import { errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { fileFingerprint } from '../device/file.ts';
import type { IdentifiedSource } from './identify.ts';
import { nameOfSource } from './name.ts';

/**
 * Size and time of last change of the file behind a source as they are now; '' where nothing cheap can tell. The file
 * is the one that is held open (hold.ts): a name that leads to another file by now says nothing of it.
 * @throws SOURCE_CHANGED when it cannot be looked at
 */
export function currentFingerprint(source: IdentifiedSource): string {
  if (source.kind !== 'file' || source.path === undefined) return '';
  try {
    const fd = openSync(source.path, constants.O_RDONLY);
    try {
      return fileFingerprint(fd);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    const message = `${nameOfSource(source.uri)} cannot be looked at any more: ${errnoOf(cause) ?? messageOf(cause)}`;
    throw new UnderstudyError('SOURCE_CHANGED', message, { cause });
  }
}

/** Whether the source is as `before`, as far as anybody can tell who does not read it. @throws SOURCE_CHANGED */
export function isAsBefore(source: IdentifiedSource, before: string): boolean {
  // What a server gives is watched by the producer, with every answer.
  return source.kind === 'http' || currentFingerprint(source) === before;
}
