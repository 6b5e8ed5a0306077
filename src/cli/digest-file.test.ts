import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOf, messageOf } from '../base/mod.ts';
import { digestFor, digestFromFile } from './digest-file.ts';

const A = 'a1'.repeat(32);
const B = 'b2'.repeat(32);
const SIGNATURE = '-----BEGIN PGP SIGNATURE-----\n\niQEzBAEBCAAdFiEE\n-----END PGP SIGNATURE-----\n';

function found(text: string, source = '/images/golden.img.xz'): string {
  return digestFor(text, 'SHA256SUMS', source).hex;
}

function refusal(text: string, source = '/images/golden.img.xz'): string {
  try {
    return found(text, source);
  } catch (error) {
    return `${codeOf(error)} ${messageOf(error)}`;
  }
}

describe('a digest file', () => {
  test.each<[string, string]>([
    ['as sha256sum writes it', `${B}  other.img\n${A}  golden.img.xz\n`],
    ['of binary mode', `${B} *other.img\n${A} *golden.img.xz\n`],
    ['with a folder', `${A}  ./golden.img.xz\n`],
    ['with a path', `${A}  release/12/golden.img.xz\n`],
    ['with CR LF', `${B}  other.img\r\n${A}  golden.img.xz\r\n`],
    ['in upper case', `${A.toUpperCase()}  golden.img.xz\n`],
    ['as the BSDs write it', `SHA256 (other.img) = ${B}\nSHA256 (golden.img.xz) = ${A}\n`],
    ['as openssl writes it', `SHA2-256(x)= ${B}\nSHA256 (golden.img.xz) = ${A}\n`],
    ['without a last newline', `${A}  golden.img.xz`],
    ['with comments and empty lines', `# published today\n\n${A}  golden.img.xz\n`],
    ['of one digest and no name', `${A}\n`],
    ['of the image inside', `${A}  golden.img\n`],
    ['twice the same', `${A}  golden.img.xz\n${A}  ./golden.img.xz\n`],
    ['beside another kind of digest', `SHA512 (golden.img.xz) = ${B}${B}\nSHA256 (golden.img.xz) = ${A}\n`],
    ['with a byte order mark', `\ufeff${A}  golden.img.xz\n`],
    ['compressed and not: the stored one counts', `${B}  golden.img\n${A}  golden.img.xz\n`],
  ])('%s', (_, text) => {
    expect(found(text)).toBe(A);
  });

  test('a name that was escaped', () => {
    expect(found(`\\${A}  back\\\\slash\\nline.img\n`, '/images/back\\slash\nline.img')).toBe(A);
    expect(refusal(`${A}  back\\\\slash.img\n`, '/images/back\\slash.img')).toContain('has no digest for');
  });

  test('a name with spaces, and one that begins with a star', () => {
    expect(found(`${A}  my image.img\n`, 'my image.img')).toBe(A);
    expect(found(`${A}  *star.img\n`, '*star.img')).toBe(A);
  });

  test('a URL is known by the last part of its path', () => {
    expect(found(`${A}  my image.img\n`, 'https://host/a/my%20image.img?token=1')).toBe(A);
  });

  test('one that is signed is read, and says so', () => {
    const text = `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${A}  golden.img.xz\n${SIGNATURE}`;
    expect(digestFor(text, 'SHA256SUMS', 'golden.img.xz')).toEqual({ hex: A, signed: true });
    // What stands around the signed part was signed by nobody.
    expect(found(`${B}  golden.img.xz\n${text}`)).toBe(A);
    expect(found(`${text}${B}  golden.img.xz\n`)).toBe(A);
  });

  test.each<[string, string, RegExp]>([
    ['nothing', '', /contains no digest/],
    ['no digest', '<html>not found</html>\n', /contains no digest/],
    ['other names', `${A}  a.img\n${B}  b.img\n`, /has no digest for golden\.img\.xz, only for a\.img, b\.img/],
    ['two that differ', `${A}  golden.img.xz\n${B}  golden.img.xz\n`, /has 2 different digests for golden\.img\.xz/],
    ['two without names', `${A}\n${B}\n`, /has 2 different digests/],
    ['SHA-512', `${A}${B}  golden.img.xz\n`, /is SHA512; only SHA256 is supported/],
    ['MD5', `${A.slice(0, 32)}  golden.img.xz\n`, /is MD5; only SHA256/],
    ['another algorithm of as many digits', `BLAKE2s (golden.img.xz) = ${A}\n`, /is BLAKE2S; only/],
    ['too many digits', `${A}ff  golden.img.xz\n`, /contains no digest/],
    ['an escape in a name', `${A}  a\u001b[2J.img\n`, /only for a\\x1b\[2J\.img$/],
    ['more names than are shown', 'abcdefg'.replaceAll(/./g, `${A}  $&.img\n`), /only for a.img, .* and 2 more/],
  ])('is refused: %s', (_, text, message) => {
    expect(refusal(text)).toMatch(message);
    expect(refusal(text)).toMatch(/^DIGEST_FILE_INVALID the digest file SHA256SUMS cannot be used: it/);
  });

  test('is refused when it cannot be read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ust-digests-'));
    try {
      writeFileSync(join(folder, 'good'), `${A}  golden.img\n`);
      expect(digestFromFile(join(folder, 'good'), 'golden.img').hex).toBe(A);
      expect(() => digestFromFile(join(folder, 'none'), 'golden.img')).toThrow(/cannot be read \(ENOENT\)/);
      expect(() => digestFromFile(folder, 'golden.img')).toThrow(/cannot be read \(EISDIR\)/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
