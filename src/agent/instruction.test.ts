import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseInstruction } from './instruction.ts';

const objective = { signal: 'probe.milliseconds', below: 400, fastSeconds: 10, slowSeconds: 60, share: 0.5 };
const probe = { url: 'http://10.0.0.12/doku.php', contains: 'Wiki', timeoutMs: 5000 };
const instruction = { objective, probe, reportSeconds: 5 };

describe('parseInstruction', () => {
  it('instruction - what the protocol says is taken, and what it does not know is left out', () => {
    expect(parseInstruction(JSON.stringify(instruction))).toEqual(instruction);
    const nothing = { objective: null, probe: null, reportSeconds: 60 };
    expect(parseInstruction(JSON.stringify({ ...nothing, news: [1] }))).toEqual(nothing);
    const tcp = { ...instruction, probe: { ...probe, url: 'tcp://[::1]:5432', contains: null } };
    expect(parseInstruction(JSON.stringify(tcp))).toEqual(tcp);
  });

  it.each([
    [[], 'the answer is not an object'],
    [{}, 'objective is not an object'],
    [{ ...instruction, reportSeconds: 0 }, 'reportSeconds is not a number from 1 to 60'],
    [{ ...instruction, reportSeconds: '5' }, 'reportSeconds is not'],
    [{ ...instruction, objective: { ...objective, signal: 'CPU' } }, 'signal is not the name of a signal'],
    [{ ...instruction, objective: { ...objective, below: -1 } }, 'below is not'],
    [{ ...instruction, objective: { ...objective, share: 0 } }, 'share is not'],
    [{ ...instruction, objective: { ...objective, slowSeconds: 9 } }, 'slowSeconds is not a number from 10'],
    [{ ...instruction, probe: { ...probe, timeoutMs: 5 } }, 'timeoutMs is not'],
    [{ ...instruction, probe: { ...probe, contains: 5 } }, 'contains is not'],
    [{ ...instruction, probe: { ...probe, url: 'file:///etc/shadow' } }, 'url is not one that can be probed'],
    [{ ...instruction, probe: { ...probe, url: 'http://user:secret@host/' } }, 'url is not'],
    [{ ...instruction, probe: { ...probe, url: 'tcp://host' } }, 'url is not'],
    [{ ...instruction, probe: { ...probe, url: 'nonsense' } }, 'url is not'],
  ])('instruction - %j is refused with a reason', (value, reason) => {
    expect(parseInstruction(JSON.stringify(value))).toContain(reason);
  });

  it('instruction - whatever arrives, the answer is an instruction or one line', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const parsed = parseInstruction(text);
        if (typeof parsed === 'string') expect(parsed).toMatch(/^.+$/);
      }),
    );
  });
});
