// Defects of the program as they cross threads and processes, where an error's class and stack are lost: by the code
// INTERNAL, with the place where they were thrown, which whoever mends them needs first.
import { codeOf, type ErrorCode, isErrorCode, messageOf, UnderstudyError, withoutResources } from './errors.ts';

export interface ToldError {
  readonly code: ErrorCode | 'INTERNAL';
  readonly message: string;
}

/** A defect that another thread or process has told. It has no code of the registry, as every defect. */
export class Defect extends Error {
  override readonly name = 'Defect';
}

/** What to do about a defect, as a clause. */
export const DEFECT_ADVICE = 'this is a defect of understudy: report it with this message and what was asked for';

/** An error as it is sent to another thread or process. */
export function toldOf(cause: unknown): ToldError {
  const error = withoutResources(cause);
  const code = codeOf(error);
  return code === null
    ? { code: 'INTERNAL', message: `${messageOf(error)}${placeOf(error)}` }
    : { code, message: messageOf(error) };
}

/** The error that was told. @param otherwise code of one whose code is not in the registry, and is not INTERNAL */
export function errorFrom(
  { code, message }: { readonly code: string; readonly message: string },
  otherwise: ErrorCode,
) {
  if (code === 'INTERNAL') return new Defect(message);
  return new UnderstudyError(isErrorCode(code) ? code : otherwise, message);
}

/** " (at step (core.js:120:7))": the innermost frame of ours; '' where there is none. */
function placeOf(error: unknown): string {
  if (!(error instanceof Error) || error instanceof Defect) return '';
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const frame = frames.find((line) => !/\bnode:|assert\.[a-z]+:|\b(?:assert|present) \(/.test(line)) ?? frames[0];
  const text = frame?.trim().replace(/\(?(?:file:\/\/)?\/(?:[^()\s]*\/)([^/()\s]+)\)?$/, '($1)');
  return text === undefined ? '' : ` (${text})`;
}
