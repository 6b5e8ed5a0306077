// The digest of the stored bytes, taken while they pass by: of a compressed image on a server nobody else sees them.
import { sha256 } from '../../base/mod.ts';
import { ByteReader } from './byte-reader.ts';
import type { ByteSource } from './byte-source.ts';
import type { Flow } from './flow.ts';

/** The same source; `onDigest` hears the SHA-256 (hexadecimal) of its bytes when they have been read to their end. */
export function hashing(bytes: ByteSource, onDigest: (hex: string) => void): ByteSource {
  return {
    uri: bytes.uri,
    sizeBytes: bytes.sizeBytes,
    access: bytes.access,
    fd: bytes.fd,
    get waiting() {
      return bytes.waiting;
    },
    async *open() {
      const hash = sha256();
      for await (const piece of bytes.open()) {
        hash.update(piece);
        yield piece;
      }
      onDigest(hash.digest('hex'));
    },
    readAt: (offsetBytes, lengthBytes) => bytes.readAt(offsetBytes, lengthBytes),
    fingerprint: () => bytes.fingerprint(),
    close: () => bytes.close(),
  };
}

/** The same for a pipe, of which the front was taken before it was known what it holds; `rest` gives what follows. */
export function hashingFlow(flow: Flow, rest: () => AsyncIterable<Uint8Array>, onDigest: (hex: string) => void): Flow {
  const hash = sha256();
  hash.update(flow.first);
  if (flow.whole) {
    onDigest(hash.digest('hex'));
    return flow;
  }
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for await (const piece of rest()) {
      hash.update(piece);
      yield piece;
    }
    onDigest(hash.digest('hex'));
  }
  return { ...flow, rest: { reader: new ByteReader(pieces()) } };
}
