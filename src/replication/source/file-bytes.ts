// Stored bytes of regular files and block devices, and of standard input that is a pipe or socket.
import { closeSync, read } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import { errnoOf } from '../../base/mod.ts';
import { fileError, fileFingerprint } from '../device/file.ts';
import type { ByteSource } from './byte-source.ts';

const PIECE_BYTES = 1024 * 1024;
const readFrom = promisify(read);

/**
 * The descriptor becomes the source's, which closes it. Bytes before `fromBytes` of the file are not the source's; a
 * program that inherits the descriptor would read them, so none does.
 */
export function fileBytes(uri: string, fd: number, sizeBytes: number, fromBytes = 0): ByteSource {
  let open = true;
  const readAt = async (offsetBytes: number, lengthBytes: number): Promise<Uint8Array> => {
    const buffer = Buffer.allocUnsafe(lengthBytes);
    let filled = 0;
    while (filled < lengthBytes) {
      const at = fromBytes + offsetBytes + filled;
      const { bytesRead } = await readFrom(fd, buffer, filled, lengthBytes - filled, at).catch((cause: unknown) => {
        throw fileError('source', `read ${uri} at byte ${at}`, errnoOf(cause), cause);
      });
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  };
  return {
    uri,
    sizeBytes,
    access: 'random',
    fd: fromBytes === 0 ? fd : null,
    async *open() {
      for (let at = 0; ; ) {
        const piece = await readAt(at, PIECE_BYTES);
        if (piece.byteLength === 0) return;
        at += piece.byteLength;
        yield piece;
      }
    },
    readAt,
    fingerprint: () => fileFingerprint(fd),
    close() {
      if (open) closeSync(fd);
      open = false;
      return Promise.resolve();
    },
  };
}

/** Reads a pipe or socket once, in order. */
export function pipeBytes(uri: string, fd: number): ByteSource {
  let socket: Socket | null = null;
  return {
    uri,
    sizeBytes: null,
    access: 'once',
    fd,
    open() {
      socket = new Socket({ fd, readable: true, writable: false });
      return socketPieces(uri, socket);
    },
    readAt: () => Promise.reject(new Error('a pipe has no offsets')),
    fingerprint: () => '',
    close() {
      socket?.destroy();
      return Promise.resolve();
    },
  };
}

/** What a pipe or socket gives from now on. It is closed at the end. */
export async function* socketPieces(uri: string, socket: Socket): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of socket) yield piece as Uint8Array;
  } catch (cause) {
    throw fileError('source', `read ${uri}`, errnoOf(cause), cause);
  } finally {
    socket.destroy();
  }
}
