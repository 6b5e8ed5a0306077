import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { holderIn, probePacket } from './arp.ts';

const MAC = Uint8Array.from([2, 0, 0x0a, 0x58, 0, 0x0b]);

/** What a host that has the address answers. */
function reply(address: string, changes: Readonly<Record<number, number>> = {}): Uint8Array {
  const packet = probePacket(MAC, '0.0.0.0');
  packet[7] = 2;
  packet.set(address.split('.').map(Number), 14);
  for (const [at, byte] of Object.entries(changes)) packet[Number(at)] = byte;
  return packet;
}

describe('ARP', () => {
  it('a probe asks for the address and says nothing of its sender but the MAC (RFC 5227, 1.1)', () => {
    expect(Buffer.from(probePacket(MAC, '10.88.0.12')).toString('hex')).toBe(
      ['0001', '0800', '06', '04', '0001', '02000a58000b', '00000000', '000000000000', '0a58000c'].join(''),
    );
  });

  it('whoever says that the address is its own holds it, asked or not', () => {
    expect(holderIn(reply('10.88.0.12'), '10.88.0.12')).toBe('02:00:0a:58:00:0b');
    expect(holderIn(reply('10.88.0.12', { 7: 1 }), '10.88.0.12')).toBe('02:00:0a:58:00:0b');
    const padded = new Uint8Array(46);
    padded.set(reply('10.88.0.12'));
    expect(holderIn(padded, '10.88.0.12')).toBe('02:00:0a:58:00:0b');
  });

  it.each([
    ['another address', reply('10.88.0.13')],
    ['another probe for it', probePacket(MAC, '10.88.0.12')],
    ['other hardware', reply('10.88.0.12', { 1: 6 })],
    ['another protocol', reply('10.88.0.12', { 2: 0x86 })],
    ['other lengths', reply('10.88.0.12', { 4: 8 })],
    ['another operation', reply('10.88.0.12', { 7: 3 })],
    ['half a packet', reply('10.88.0.12').subarray(0, 27)],
  ])('%s is no holder', (_what, packet) => {
    expect(holderIn(packet, '10.88.0.12')).toBeNull();
  });

  it('any bytes are a holder or none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (packet) => {
        expect(holderIn(packet, '10.88.0.12') ?? '00:00:00:00:00:00').toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      }),
    );
  });
});
