// Goal: no request, whatever it is, ends the controller, makes it grow, changes what it shows, or is answered with what
// only the program should see. Method: requests of one seed to `understudy up`, through every route that it describes:
// methods, paths, headers, tokens, bodies, framing. 4,000 here, 100,000 by `npm run proof:api`.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ATTACK_MS_MAX, attack, REQUESTS } from './attack.ts';
import { Subject } from './subject.ts';

let subject: Subject;
beforeEach(async () => {
  subject = await Subject.up();
});
afterEach(() => subject.stop());

/** What has to be reached, or the requests prove nothing. */
const CLASSES = ['200', 'closed', 'API_INVALID', 'API_UNAUTHORIZED', 'API_FORBIDDEN', 'API_NOT_FOUND', 'HOST_UNKNOWN'];

test(
  'api - requests of every kind are answered in the documented form or cut off, and the controller goes on',
  async () => {
    const tally = await attack(subject, REQUESTS);
    expect([...tally.keys()]).toEqual(expect.arrayContaining([...CLASSES, 'SERVICE_UNKNOWN', 'API_TOO_LARGE']));
  },
  ATTACK_MS_MAX,
);
