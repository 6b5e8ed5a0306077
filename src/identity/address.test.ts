import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressMatcher, formatAddress, isShared, netmaskOf, parseAddress, parseMac } from './address.ts';

describe('addresses as files spell them', () => {
  it.each([
    ['10.0.0.11', '10.0.0.11'],
    ['10.0.0.11/24', '10.0.0.11/24'],
    ['FD00:0:0:0:0:0:0:B/64', 'fd00::b/64'],
    ['fd00::0b', 'fd00::b'],
    ['::ffff:10.0.0.11', '::ffff:a00:b'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ])('%s is %s', (text, canonical) => {
    const address = parseAddress(text);
    expect(address === null ? null : formatAddress(address)).toBe(canonical);
  });

  it.each([
    '',
    'web1',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.1/33',
    '10.0.0.1/',
    '/24',
    'fe80::1%eth0',
    'fd00::b/129',
    '10.0.0.1-9',
  ])('%j is none', (text) => expect(parseAddress(text)).toBe(null));

  it('any spelling of an IPv6 address is the same address, and is found in a text', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 }), (groups) => {
        const full = groups.map((group) => group.toString(16).padStart(4, '0')).join(':');
        const short = groups.map((group) => group.toString(16).toUpperCase()).join(':');
        const [one, two] = [parseAddress(full), parseAddress(short)];
        expect(one).toEqual(two);
        if (one === null) throw new Error(`${full} is an address`);
        const holds = addressMatcher(one);
        for (const spelling of [full, short, one.ip]) expect(holds(`listen [${spelling}]:80;`)).toBe(true);
        expect(holds(`listen [${full}1]:80;`)).toBe(false);
      }),
    );
  });

  it('an IPv4 address is found as a word of its own only', () => {
    const address = parseAddress('10.0.0.11');
    if (address === null) throw new Error('it is an address');
    const holds = addressMatcher(address);
    for (const text of ['10.0.0.11', 'http://10.0.0.11:80/', 'allow 10.0.0.11/32;', '10.0.0.11.', '(10.0.0.11)'])
      expect(holds(text), text).toBe(true);
    for (const text of ['10.0.0.110', '110.0.0.11', '10.0.0.11.5', 'v10.0.0.11', '10x0x0x11', '10.0.0.1'])
      expect(holds(text), text).toBe(false);
  });

  it('knows what many computers may have', () => {
    const shared = (text: string): boolean => {
      const address = parseAddress(text);
      return address !== null && isShared(address);
    };
    expect(
      ['127.0.1.1', '::1', '0.0.0.0', '::', '169.254.7.1', 'fe80::1', 'FEBF::1'].filter((text) => !shared(text)),
    ).toEqual([]);
    expect(['10.0.0.11', '128.0.0.1', 'fec0::1', 'fd00::1', '::2'].filter(shared)).toEqual([]);
  });

  it('netmasks and hardware addresses', () => {
    expect([0, 8, 20, 24, 31, 32].map(netmaskOf)).toEqual([
      ...['0.0.0.0', '255.0.0.0', '255.255.240.0', '255.255.255.0', '255.255.255.254', '255.255.255.255'],
    ]);
    expect(['52:54:00:AA:00:11', '52-54-00-aa-00-11'].map(parseMac)).toEqual(Array(2).fill('52:54:00:aa:00:11'));
    expect(['52:54:00:aa:00', '52:54:00:aa:00:11:22', 'g2:54:00:aa:00:11', ''].map(parseMac)).toEqual(
      Array(4).fill(null),
    );
  });
});
