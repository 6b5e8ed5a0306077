// The two things that can be wrong with what a source holds, in one form of words.
import { UnderstudyError } from '../../base/mod.ts';

export function damaged(uri: string, what: string): UnderstudyError {
  return new UnderstudyError('SOURCE_CORRUPT', `${uri} is damaged: ${what}`);
}

export function unreadable(uri: string, what: string): UnderstudyError {
  return new UnderstudyError('FORMAT_UNKNOWN', `${uri} ${what}`);
}
