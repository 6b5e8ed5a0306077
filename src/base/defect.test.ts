import { AssertionError } from 'node:assert';
import { expect, it } from 'vitest';
import { Defect, errorFrom, toldOf } from './defect.ts';
import { codeOf, UnderstudyError } from './errors.ts';

function thrown(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

it('defects - an assertion is told as INTERNAL with the place where it was, and stays a defect on the other side', () => {
  const assertion = thrown(function writePiece() {
    throw new AssertionError({ message: 'a piece is where it cannot be' });
  });
  const told = toldOf(assertion);
  expect(told.code).toBe('INTERNAL');
  expect(told.message).toMatch(/^a piece is where it cannot be \(at .*writePiece \(defect\.test\.ts:\d+:\d+\)\)$/);
  const back = errorFrom(told, 'STORAGE_FAILED');
  expect(back).toBeInstanceOf(Defect);
  expect(codeOf(back)).toBe(null);
  // Told once more, it is the same.
  expect(toldOf(back)).toEqual(told);
});

it('defects - operating errors keep their code, and what has no place has none', () => {
  const told = toldOf(new UnderstudyError('TARGET_FULL', 'there is no room'));
  expect(told).toEqual({ code: 'TARGET_FULL', message: 'there is no room' });
  expect(codeOf(errorFrom(told, 'STORAGE_FAILED'))).toBe('TARGET_FULL');
  expect(codeOf(errorFrom({ code: 'NEVER_HEARD_OF', message: 'x' }, 'STORAGE_FAILED'))).toBe('STORAGE_FAILED');
  expect(toldOf('thrown')).toEqual({ code: 'INTERNAL', message: 'thrown' });
});
