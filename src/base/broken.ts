// Which errors say that the process as a whole cannot be relied on any more. Everything else is the failure of what
// threw it.

/** Of Node.js: memory that could not be had, and assertions of its own. */
const CODES: ReadonlySet<unknown> = new Set(['ENOMEM', 'ERR_MEMORY_ALLOCATION_FAILED', 'ERR_INTERNAL_ASSERTION']);
/** What V8 says when a buffer cannot be allocated: a RangeError without a code. */
const ALLOCATION = /^(?:Array buffer allocation failed|WebAssembly\.Memory\(\): could not allocate memory)/;

/** True when the process has to end: what it does next may be wrong. */
export function breaksProcess(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (CODES.has((error as { readonly code?: unknown }).code)) return true;
  return error instanceof RangeError && ALLOCATION.test(error.message);
}
