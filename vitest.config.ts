import { defineConfig } from 'vitest/config';
import { patience } from './test/rig/patience.ts';
import LongFirst from './test/support/long-first.ts';

const shared = { testTimeout: patience(60_000), hookTimeout: patience(60_000) };

/** What takes minutes of its own and whose parts are tried by the others: `npm run proof:long`. */
const long = { test: { ...shared, name: 'long', include: ['test/long/**/*.test.ts'], maxWorkers: 1 } };

export default defineConfig({
  test: {
    sequence: { sequencer: LongFirst },
    projects: [
      {
        test: {
          ...shared,
          name: 'parts',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['dist/**', 'node_modules/**', 'test/e2e/**', 'test/long/**'],
          // Real processes share two cores and one disk: more than two files at once only adds noise to their time-outs.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          // Whole machines with users who wait for them: alone, so that what they measure is their own load.
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
      ...(process.env.UNDERSTUDY_LONG === undefined ? [] : [long]),
    ],
  },
});
