import { describe, expect, it } from 'vitest';
import { fingerprintOf, fingerprintsIn } from './ssh-keys.ts';

describe('SSH host keys', () => {
  it('are shown as OpenSSH shows them: SHA-256 in base64 without padding', () => {
    // SHA-256 of nothing.
    expect(fingerprintOf(new Uint8Array())).toBe('SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU');
  });

  it('are read from lines with host, type and key, each once, sorted', () => {
    const output = [
      '# 10.88.0.11:22 SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6',
      '10.88.0.11 ssh-ed25519 AAAA',
      '[10.88.0.11]:2222 ecdsa-sha2-nistp256 AAAB',
      '10.88.0.11 ssh-ed25519 AAAA',
      'no key',
      '',
    ].join('\n');
    const both = ['AAAA', 'AAAB'].map((key) => fingerprintOf(Buffer.from(key, 'base64'))).sort();
    expect(fingerprintsIn(output)).toEqual(both);
    expect(fingerprintsIn('')).toEqual([]);
  });
});
