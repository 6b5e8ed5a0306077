import { isErrorCode, UnderstudyError } from '../../base/mod.ts';

/** The producer's failure, as every consumer of it reports it: "CODE message". */
export function failureOf(text: string): UnderstudyError {
  const space = text.indexOf(' ');
  const code = text.slice(0, space);
  if (isErrorCode(code)) return new UnderstudyError(code, text.slice(space + 1));
  return new UnderstudyError('PRODUCER_FAILED', text);
}
