import { describe, expect, it } from 'vitest';
import type { LogRecord } from '../../base/mod.ts';
import { createLog, type LogOptions } from './log.ts';

function written(records: readonly LogRecord[], options: Partial<LogOptions> = {}): string {
  let text = '';
  const log = createLog({
    ...{ format: 'text', priorities: false, level: 'info', wall: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6) },
    ...options,
    write: (more) => {
      text += more;
    },
  });
  for (const record of records) log(record);
  return text;
}

const REFUSAL: LogRecord = {
  ...{ level: 'warn', subject: 'GET /v1/status', kind: 'audit', code: 'API_UNAUTHORIZED' },
  message: 'somebody at 10.0.0.5: GET /v1/status: refused, API_UNAUTHORIZED',
  data: { who: null, from: '10.0.0.5' },
};
const DEFECT: LogRecord = { level: 'error', message: 'metrics: poison', stack: 'TypeError: poison\n    at work' };

describe('the log of up', () => {
  it('log - text has time, level and message, and a stack below', () => {
    expect(written([REFUSAL, DEFECT])).toBe(
      '2026-01-02T03:04:05.006Z warn  somebody at 10.0.0.5: GET /v1/status: refused, API_UNAUTHORIZED\n' +
        '2026-01-02T03:04:05.006Z error metrics: poison\n    TypeError: poison\n        at work\n',
    );
  });

  it('log - JSON has one line for each record, whatever is in it', () => {
    const message = 'a\nb\u001b[31m\u202e';
    const lines = written([REFUSAL, DEFECT, { level: 'info', message }], { format: 'json' }).split('\n');
    expect(lines).toHaveLength(4);
    const time = '2026-01-02T03:04:05.006Z';
    expect(lines.slice(0, 3).map((line) => JSON.parse(line))).toEqual([
      { time, ...REFUSAL },
      { time, ...DEFECT },
      { time, level: 'info', message },
    ]);
    expect(lines[2]).not.toContain('\u001b');
    expect(lines[2]).not.toContain('\u202e');
  });

  it('log - in the journal each line begins with its priority, and text leaves the time to the journal', () => {
    expect(written([REFUSAL, DEFECT], { priorities: true })).toBe(
      `<4>${REFUSAL.message}\n<3>metrics: poison\n<3>    TypeError: poison\n<3>        at work\n`,
    );
    expect(written([REFUSAL], { priorities: true, format: 'json' })).toMatch(/^<4>\{"time":/);
  });

  it.each([
    ['error', 1],
    ['warn', 2],
    ['info', 3],
    ['debug', 4],
  ] as const)('log - the level %s', (level, count) => {
    const records = (['error', 'warn', 'info', 'debug'] as const).map((one) => ({ level: one, message: one }));
    expect(written(records, { level }).split('\n')).toHaveLength(count + 1);
  });

  it('log - what acts on a terminal is written out in text', () => {
    expect(written([{ level: 'info', message: 'a\u001b[31m\u202e' }])).toMatch(/ a\\x1b\[31m\\u202e\n$/);
  });
});
