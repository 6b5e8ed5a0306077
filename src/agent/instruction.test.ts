import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseInstruction } from './instruction.ts';

const objective = { below: 400, fastSeconds: 10, slowSeconds: 60, share: 0.5 };
const baseline = { direction: 'above', learnSamples: 300 };
const signal = { name: 'probe.milliseconds', objective, baseline: null, outside: false };
const learned = { name: 'cpu.pressure', objective: null, baseline, outside: true };
const probe = { url: 'http://10.0.0.12/doku.php', contains: 'Wiki', timeoutMs: 5000 };
const instruction = { signals: [signal, learned], probe, reportSeconds: 5 };

/** The instruction with something changed in its first signal. */
function changed(edit: Readonly<Record<string, unknown>>): object {
  return { ...instruction, signals: [{ ...signal, ...edit }] };
}

describe('parseInstruction', () => {
  it('instruction - what the protocol says is taken, and what it does not know is left out', () => {
    expect(parseInstruction(JSON.stringify(instruction))).toEqual(instruction);
    const nothing = { signals: [], probe: null, reportSeconds: 60 };
    expect(parseInstruction(JSON.stringify({ ...nothing, news: [1] }))).toEqual(nothing);
    const tcp = { ...instruction, probe: { ...probe, url: 'tcp://[::1]:5432', contains: null } };
    expect(parseInstruction(JSON.stringify(tcp))).toEqual(tcp);
    const usual = changed({ objective: { ...objective, fastSeconds: null, slowSeconds: null } });
    expect(parseInstruction(JSON.stringify(usual))).toEqual(usual);
  });

  it.each([
    [[], 'the answer is not an object'],
    [{}, 'signals is no list'],
    [{ ...instruction, signals: Array(17).fill(signal) }, 'at most 16'],
    [{ ...instruction, signals: [signal, signal] }, 'a signal is there twice'],
    [{ ...instruction, signals: ['cpu.pressure'] }, 'a signal is not an object'],
    [{ ...instruction, reportSeconds: 0 }, 'reportSeconds is not a number from 1 to 60'],
    [{ ...instruction, reportSeconds: '5' }, 'reportSeconds is not'],
    [changed({ name: 'CPU' }), 'name is not the name of a signal'],
    [changed({ objective: null }), 'neither objective nor baseline'],
    [changed({ outside: undefined }), 'outside is neither'],
    [changed({ objective: { ...objective, below: null } }), 'below is not'],
    [changed({ objective: { ...objective, share: 0 } }), 'share is not'],
    [changed({ objective: { ...objective, slowSeconds: 9 } }), 'slowSeconds is not a number from 10'],
    [changed({ baseline: { ...baseline, direction: 'up' } }), 'direction is none'],
    [changed({ baseline: { ...baseline, learnSamples: 5 } }), 'learnSamples is not a number from 50'],
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
