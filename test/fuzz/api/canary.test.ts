// Goal: the attack sees what it is there for. Method: the interface with one planted defect each; the requests of every
// day must find it.
import { afterEach, describe, expect, test } from 'vitest';
import { ATTACK_MS_MAX, attack } from './attack.ts';
import { Subject } from './subject.ts';

/** No more than the share of every day. */
const REQUESTS = 4000;

let subject: Subject;
afterEach(() => subject.stop());

const CANARIES: readonly (readonly [string, RegExp])[] = [
  ['a code that is not registered', /fails with API_GONE_AWAY/],
  ['a stack in a message', /shows its inside/],
  ['another form of errors', /in another form/],
  ['another status', /with 500 instead of 404/],
  ['a page of the framework', /answers an error as "text\/html/],
  ['an order that nobody gave', /the status is /],
  ['memory for every request', /bytes of memory/],
  ['the end of the process', /the process ended with 0/],
  ['an error of nobody', /fails with INTERNAL|the process ended/],
];

describe('api - the requests of every day find', () => {
  test.each(CANARIES)(
    '%s',
    async (defect, finding) => {
      subject = await Subject.planted(defect);
      await expect(attack(subject, REQUESTS, 20)).rejects.toThrow(finding);
    },
    ATTACK_MS_MAX,
  );

  test(
    'nothing where there is none',
    async () => {
      subject = await Subject.planted('');
      expect((await attack(subject, REQUESTS, 20)).size).toBeGreaterThan(5);
    },
    ATTACK_MS_MAX,
  );
});
