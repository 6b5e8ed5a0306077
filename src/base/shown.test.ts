import { describe, expect, it } from 'vitest';
import { UnderstudyError } from './errors.ts';
import { shown, shownJson, shownLines, withoutSecrets } from './shown.ts';

/** A line feed, an escape, a C1 control, a turn of direction, a separator, a tag, and half of a pair. */
const HOSTILE = 'a\nb\u001b[2Jc\u009bd\u202ee\u2028f\u{e0041}g\ud800h';

describe('text of others', () => {
  it('shown - is one line that acts on no terminal', () => {
    expect(shown(HOSTILE)).toBe('a\\x0ab\\x1b[2Jc\\x9bd\\u202ee\\u2028f\\u{e0041}g\\ud800h');
    expect(shownLines(HOSTILE)).toMatch(/^a\nb\\x1b/);
    expect(shown(shown(HOSTILE))).toBe(shown(HOSTILE));
    expect(shown('👩‍🚀 Zürich')).toBe('👩‍🚀 Zürich');
  });

  it('shown - JSON says the same, in characters that act on no terminal', () => {
    const text = shownJson(JSON.stringify({ name: HOSTILE }));
    expect(JSON.parse(text)).toEqual({ name: HOSTILE });
    expect(shownLines(text)).toBe(text);
  });

  it('shown - is what every operating error says, but for lists', () => {
    expect(new UnderstudyError('SOURCE_NOT_FOUND', HOSTILE).message).toBe(shown(HOSTILE));
    expect(new UnderstudyError('CONFIG_INVALID', 'a\nb\u001b').message).toBe('a\nb\\x1b');
  });

  it.each([
    ['https://alice:opensesame@host:8443/disk.img', 'https://host:8443/disk.img'],
    ['read http://alice@host/a?b=c: no', 'read http://host/a?b=c: no'],
    ['https://host/disk.img?X-Amz-Signature=0a1b&versionId=3', 'https://host/disk.img?X-Amz-Signature=...&versionId=3'],
    ['https://host/d?file=a.img&token=abc;sig=1#x', 'https://host/d?file=a.img&token=...;sig=...#x'],
    [`https://host/d?x=${'0'.repeat(64)}`, 'https://host/d?x=...'],
    ['nbds://alice@host/export', 'nbds://host/export'],
    ['nbd+unix:///a?socket=/run/key.sock', 'nbd+unix:///a?socket=/run/key.sock'],
    ['/srv/user@host/a?token=b', '/srv/user@host/a?token=b'],
  ])('shown - %s without what it would give away', (text, expected) => {
    expect(withoutSecrets(text)).toBe(expected);
    expect(new UnderstudyError('SOURCE_NOT_FOUND', text).message).toBe(expected);
  });
});
