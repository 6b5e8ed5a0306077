// How long tests wait, in one place. What a test gives is what a quiet machine takes at most, with room; a machine that does other
// things beside, or has slower processors, may take three times as long and is not wrong.

/** More on a machine that is slower still: `UNDERSTUDY_TEST_PATIENCE=6 npm test`. */
export const PATIENCE_FACTOR = Number(process.env.UNDERSTUDY_TEST_PATIENCE ?? 3);

/** Time after which a test gives up, milliseconds. */
export function patience(quietMs: number): number {
  return quietMs * PATIENCE_FACTOR;
}
