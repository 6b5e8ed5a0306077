import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { networkdFacts } from './networkd-file.ts';
import { matchesShellPattern } from './shell-pattern.ts';

describe('patterns of a shell', () => {
  it.each([
    ['eth0', 'eth0', true],
    ['eth0', 'eth01', false],
    ['', '', true],
    ['*', '', true],
    ['e*', 'eth0', true],
    ['*0', 'eth0', true],
    ['*e*t*h*0*', 'eth0', true],
    ['e**0', 'eth0', true],
    ['e*h1', 'eth0', false],
    ['e?h0', 'eth0', true],
    ['eth?', 'eth', false],
    ['eth[0-3]', 'eth2', true],
    ['eth[0-3]', 'eth4', false],
    ['eth[!0-3]', 'eth4', true],
    ['eth[^0-3]', 'eth2', false],
    ['eth[]0]', 'eth]', true],
    ['eth[!]0]', 'eth0', false],
    ['eth[a-]', 'eth-', true],
    ['eth[0', 'eth[0', true],
    ['eth\\*', 'eth*', true],
    ['eth\\*', 'eth0', false],
    ['en.0', 'enx0', false],
    ['*[ab]?', 'xxbc', true],
    ['*.*.*', 'a.b', false],
  ])('%j and %j: %j', (pattern, name, is) => {
    expect(matchesShellPattern(pattern, name)).toBe(is);
  });

  it('are what a regular expression makes of them', () => {
    const word = fc.array(fc.constantFrom('a', 'b', '.', '*', '?', '[ab]', '[!a]'), { maxLength: 8 });
    const name = fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(word, name, (parts, text) => {
        const source = parts.map((part) => {
          if (part === '*') return '.*';
          return part === '?' ? '.' : part.replace('[!', '[^').replace(/^\.$/, '\\.');
        });
        return matchesShellPattern(parts.join(''), text) === new RegExp(`^${source.join('')}$`).test(text);
      }),
      { numRuns: 3000 },
    );
  });

  it('of many stars are held against a name at once, where a regular expression never ends', () => {
    const name = 'a'.repeat(200);
    expect(matchesShellPattern(`${'*a'.repeat(100)}b`, name)).toBe(false);
    expect(matchesShellPattern(`${'*a'.repeat(100)}*`, name)).toBe(true);
    const match = `[Match]\nName=${Array.from({ length: 5000 }, () => '*a*a*a*a*a*b').join(' ')}\n`;
    const { interfaces } = networkdFacts(`${match}[Network]\nAddress=10.0.0.11/24\n`, match);
    expect(interfaces).toHaveLength(1);
  });
});
