import { describe, expect, it } from 'vitest';
import { diskBar, table } from '../../scripts/demo-screen.ts';

describe('what the demo shows', () => {
  it('demo - the bar of a late joiner begins where it joined and comes round from the left', () => {
    expect(diskBar(0, 0, 8)).toBe('░░░░░░░░');
    expect(diskBar(0, 0.5, 8)).toBe('████░░░░');
    expect(diskBar(0.5, 0.25, 8)).toBe('░░░░██░░');
    expect(diskBar(0.5, 0.75, 8)).toBe('██░░████');
    expect(diskBar(0.99, 1, 8)).toBe('████████');
  });

  it('demo - a bar is full only when everything is there', () => {
    expect(diskBar(0, 0.9999, 8)).toBe('███████░');
  });

  it('demo - columns are as wide as their widest cell', () => {
    const text = table([
      ['a', 'long head'],
      ['longer', 'b'],
    ]);
    expect(text).toBe('  a        long head\n  longer   b');
  });
});
