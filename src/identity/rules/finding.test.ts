import { expect, it } from 'vitest';
import { finding } from './finding.ts';

it.each(['//nas/x /srv cifs password=hunter2', 'archive --key k --password hunter2', 'push https://a:hunter2@nas'])(
  'a finding shows no secret of the line that it is about: %s',
  (value) => {
    const found = finding({ rule: 'own', path: '/etc/x', value, why: 'A trial.', action: 'unknown' });
    expect(found.value).toBe(value.replace('hunter2', '(secret)'));
  },
);
