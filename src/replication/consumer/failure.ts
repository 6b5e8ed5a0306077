import { errorFrom } from '../../base/mod.ts';

/** The producer's failure, as every consumer of it reports it: "CODE message". A defect of it is one here as well. */
export function failureOf(text: string): Error {
  const space = text.indexOf(' ');
  const code = text.slice(0, space);
  return /^[A-Z_]+$/.test(code)
    ? errorFrom({ code, message: text.slice(space + 1) }, 'PRODUCER_FAILED')
    : errorFrom({ code: '', message: text }, 'PRODUCER_FAILED');
}
