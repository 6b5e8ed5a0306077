// What people and servers write, under fire: headers of answers, files of digests, NBD URIs and names of sources.
import { digestFor } from '../../src/cli/digest-file.ts';
import { canonicalNbdUri, isNbdUri, reachableNbdUri } from '../../src/replication/device/nbd-uri.ts';
import {
  contentLength,
  fingerprintOf,
  type IncomingHttpHeaders,
  isSame,
  parseContentRange,
  representationOf,
  unsatisfiedTotal,
} from '../../src/replication/source/http/answer.ts';
import { statusFailure } from '../../src/replication/source/http/failure.ts';
import { identifySource } from '../../src/replication/source/mod.ts';
import { type Case, holds, outcomeOf, outcomeOfAsync, type Reader } from './fuzz.ts';
import { seed } from './seeds.ts';

/** Inputs are bytes; half of them are read as text that is not UTF-8. */
function textOf({ bytes, random }: Case): string {
  return Buffer.from(bytes).toString(random.below(2) === 0 ? 'utf8' : 'latin1');
}

function texts(list: readonly string[]) {
  return list.map((text) => seed(text.slice(0, 30), Buffer.from(text)));
}

const HEADERS = [
  'etag: "abc"\nlast-modified: Mon, 02 Mar 2020 10:00:00 GMT\ndate: Mon, 02 Mar 2020 11:00:00 GMT\ncontent-length: 1048576',
  'etag: W/"abc"\ncontent-range: bytes 0-511/1048576\ncontent-length: 512',
  'content-range: bytes */1048576\nretry-after: 120',
  'content-encoding: gzip\nretry-after: Mon, 02 Mar 2099 10:00:00 GMT\ncontent-length: 12',
  'last-modified: Mon, 02 Mar 2020 10:00:00 GMT\ndate: Mon, 02 Mar 2020 10:00:00 GMT',
];

function headersOf(text: string): IncomingHttpHeaders {
  const headers: Record<string, string | string[]> = {};
  for (const line of text.split('\n')) {
    const at = line.indexOf(':');
    const name = line.slice(0, at).toLowerCase();
    const value = line.slice(at + 1).trim();
    const before = headers[name];
    // As undici has them: what comes twice is a list.
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

export function headersReader(): Reader {
  return {
    name: 'HTTP headers',
    seeds: texts(HEADERS),
    repair: null,
    classes: ['accepted', 'range', 'length', 'pause', 'nothing'],
    judge(input) {
      const headers = headersOf(textOf(input));
      const range = parseContentRange(typeof headers['content-range'] === 'string' ? headers['content-range'] : null);
      if (range !== null) {
        const { start, end, total } = range;
        holds(
          [start, end, total].every(Number.isSafeInteger) && start >= 0 && start <= end && end < total,
          () => `a range ${start}-${end}/${total}`,
        );
      }
      const length = contentLength(headers);
      const whole = unsatisfiedTotal(headers);
      for (const size of [length, whole])
        holds(size === null || (Number.isSafeInteger(size) && size >= 0), () => `a size of ${size}`);
      for (const status of [200, 206, 416]) {
        const one = representationOf(status, headers);
        holds(
          isSame(one, representationOf(status, headers), status),
          () => `is not the same as itself: ${JSON.stringify(one)}`,
        );
        holds(fingerprintOf(one).length <= 300, () => 'a long fingerprint');
        holds(
          one.strong === null || one.strong === one.etag || one.strong === one.lastModified,
          () => `a validator ${one.strong} that nobody gave`,
        );
        holds(
          one.etag === null || !/^W\//i.test(one.etag) || one.strong !== one.etag,
          () => `takes ${one.etag} for a strong one`,
        );
      }
      const { afterMs, error } = statusFailure('input', 503, headers);
      holds(afterMs === null || (Number.isFinite(afterMs) && afterMs >= 0), () => `a pause of ${afterMs}`);
      holds(error.code === 'SOURCE_UNAVAILABLE', () => `a 503 is ${error.code}`);
      if (input.whole) return 'accepted';
      if (range !== null) return 'range';
      return afterMs !== null ? 'pause' : length !== null ? 'length' : 'nothing';
    },
  };
}

const HEX = '0123456789abcdef'.repeat(4);
const OTHER = 'fedcba9876543210'.repeat(4);
const DIGESTS = [
  `${HEX}  disk.img\n${OTHER} *other.img\n`,
  `SHA256 (other.img) = ${OTHER}\nSHA256 (disk.img) = ${HEX}\nMD5 (disk.img) = ${HEX.slice(0, 32)}\n`,
  `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${HEX}  ./disk.img\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n`,
  `\\${OTHER}  dis\\nk.img\n${HEX}  disk.img\r\n`,
  `${HEX}\n`,
];

export function digestsReader(): Reader {
  return {
    name: 'files of digests',
    seeds: texts(DIGESTS),
    repair: null,
    classes: ['accepted', 'DIGEST_FILE_INVALID'],
    judge(input) {
      const text = textOf(input);
      const source = [
        'disk.img',
        '/a/disk.img',
        'disk.img.xz',
        'https://host/a/disk.img?x=1',
        'https://host/%zz/disk.img',
      ][input.random.below(5)];
      const { value, code } = outcomeOf(() => digestFor(text, 'SHA256SUMS', source ?? ''), ['DIGEST_FILE_INVALID']);
      if (value === null) return code ?? '';
      holds(
        /^[0-9a-f]{64}$/.test(value.hex) && text.toLowerCase().includes(value.hex),
        () => `a digest ${value.hex} that is not in it`,
      );
      if (input.whole) holds(value.hex === HEX, () => `the digest of another: ${value.hex}`);
      return 'accepted';
    },
  };
}

const URIS = [
  'nbd://host:10809/export',
  'nbds://user@[::1]:10810/a%20b?tls-certificates=/etc/pki',
  'nbd+unix:///name%2Fwith?socket=/run/nbd.sock',
  'NBD://HOST/',
  'nbd+unix:///?socket=relative+path.sock',
  'nbd://:10809/',
];

export function nbdUriReader(): Reader {
  return {
    name: 'NBD URIs',
    seeds: texts(URIS),
    repair: null,
    classes: ['accepted', 'USAGE'],
    judge(input) {
      const uri = textOf(input);
      isNbdUri(uri);
      const reachable = outcomeOf(() => reachableNbdUri(uri), ['USAGE']);
      const { value, code } = outcomeOf(() => canonicalNbdUri(uri), ['USAGE']);
      if (value === null) return code ?? '';
      holds(canonicalNbdUri(value) === value, () => `${value}, and ${canonicalNbdUri(value)} again`);
      if (reachable.value !== null) {
        const known = reachable.value;
        holds(canonicalNbdUri(known) === value, () => `${uri} is ${value}, and ${known} is ${canonicalNbdUri(known)}`);
        holds(reachableNbdUri(known) === known, () => `${known}, and ${reachableNbdUri(known)} again`);
      }
      return 'accepted';
    },
  };
}

const NAMES = [
  '/dev/null/disk.img',
  'file:///nowhere/disk%20one.img',
  'http://user:word@host:80/disk.img',
  'https://[::1]/a?b=c',
  'ftp://host/disk.img',
];
const REFUSALS = ['USAGE', 'SOURCE_NOT_FOUND', 'SOURCE_UNREADABLE', 'SOURCE_KIND', 'SOURCE_EMPTY', 'FORMAT_UNKNOWN'];

/** Nothing is read of servers here, and nothing in the names is there: what counts is that each is refused by name. */
export function sourceNameReader(): Reader {
  return {
    name: 'names of sources',
    seeds: texts(NAMES),
    repair: null,
    classes: ['accepted', 'USAGE', 'SOURCE_NOT_FOUND', 'SOURCE_KIND'],
    async judge(input) {
      const uri = textOf(input);
      // Standard input is that of the test, and for hosts of NBD a name server would be asked.
      if (uri === '-' || isNbdUri(uri)) return 'accepted';
      const { value, code } = await outcomeOfAsync(() => identifySource({ uri }), REFUSALS);
      if (value !== null) {
        // What is shown of a URL is for people: with values left out it need not be one any more.
        const authority = value.kind === 'http' ? /^[^:]*:\/\/([^/?#]*)/.exec(value.uri)?.[1] : '';
        holds(authority?.includes('@') === false, () => `shows the password: ${value.uri}`);
        holds(value.identity !== '' && value.storage !== '', () => 'names nothing');
      }
      return input.whole ? 'accepted' : (code ?? 'accepted');
    },
  };
}
