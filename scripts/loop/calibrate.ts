import { medianOf } from './chart.ts';
import type { Stage } from './stage.ts';

/** So many readers at once, each asking for the next page as soon as it has one. */
export const READERS = 8;
/**
 * The objective, in times of what one page takes when nobody else asks. The guest works on two pages at a time, so with READERS of
 * them a page takes half as many times as long with one host, and a quarter with two: this lies between, with room for
 * what two emulated machines cost each other.
 */
export const OBJECTIVE = 2.7;

const PAGES = 7;
/** The first pages fill caches of the guest, which no later reader has to wait for. */
const WARM_UP_PAGES = 2;

/** What one page takes while nobody else asks, milliseconds. */
export async function calibrate(stage: Stage, url: string): Promise<number> {
  const times: number[] = [];
  for (let page = 0; page < WARM_UP_PAGES + PAGES; page += 1) {
    const asked = performance.now();
    await stage.insider.ask({ url });
    if (page >= WARM_UP_PAGES) times.push(performance.now() - asked);
  }
  return medianOf(times);
}
