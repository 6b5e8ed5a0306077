// What an HTTP server gives, made ready for the worker thread: by ranges where they are proved, else as a stream.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { ReadExchange, writeNote } from '../device/read-exchange.ts';
import { type ContentRequest, type PrepareOptions, prepareContent } from './content.ts';
import { detectFormat, type ImageFormat, type SourceFormat } from './format.ts';
import { HttpSource } from './http/mod.ts';
import { type IdentifiedSource, parseUrl } from './identify.ts';
import { type NbdContent, type OwnNbdServer, serveOverNbd } from './nbd-server.ts';
import type { ImageAccess, PreparedSource } from './prepared.ts';
import { privateFolder } from './private-folder.ts';
import type { BlockNode } from './qemu.ts';
import type { Window } from './window.ts';

type PrepareImage = (source: IdentifiedSource, format: ImageFormat, access: ImageAccess) => Promise<PreparedSource>;

/** `prepareImage` puts QEMU in front of a format that needs it. @throws as prepareSource */
export async function prepareHttp(
  source: IdentifiedSource,
  options: PrepareOptions,
  prepareImage: PrepareImage,
): Promise<PreparedSource> {
  const { uri, insecure, cacert = null } = source;
  const http = await HttpSource.connect({ url: parseUrl(source.url ?? uri), uri, insecure, cacert });
  try {
    if (http.coding !== null) requireFormatOfCoding(source, http, http.coding);
    const random = http.access === 'random';
    const request: ContentRequest = {
      source,
      bytes: http,
      path: null,
      raw: ({ contents }) => served(source, http, null, contents),
      window: random ? (window, contents) => served(source, http, window, contents) : null,
      image: random ? (format, window) => imaged(source, http, format, window, prepareImage) : null,
    };
    const prepared = await prepareContent(request, options);
    return {
      ...prepared,
      get helperPids() {
        return prepared.helperPids;
      },
      async close() {
        // First the source: whoever waits for it then has an answer.
        await http.close();
        await prepared.close();
      },
    };
  } catch (error) {
    await http.close();
    throw error;
  }
}

/** Content codings that are formats of ours as well. */
const CODING_FORMATS: { readonly [coding: string]: SourceFormat } = { gzip: 'gzip', 'x-gzip': 'gzip', zstd: 'zstd' };

/**
 * A server that compresses although it was asked not to. Its bytes are taken as they are, and undone as a format like
 * any other, in sight of everybody. @throws FORMAT_UNKNOWN for a coding that is not a format, and where another format
 * was named
 */
function requireFormatOfCoding(source: IdentifiedSource, http: HttpSource, coding: string): void {
  const sends = `${source.uri}: the server sends it in a content coding (${coding}), though it was asked not to`;
  const format = CODING_FORMATS[coding];
  if (format === undefined || detectFormat(http.head) !== format) {
    throw new UnderstudyError('FORMAT_UNKNOWN', `${sends}, and that cannot be undone; download it first`);
  }
  if (source.format !== 'auto' && source.format !== format) {
    throw new UnderstudyError('FORMAT_UNKNOWN', `${sends}, so it is not ${source.format}; leave --format out`);
  }
}

function served(source: IdentifiedSource, http: HttpSource, window: Window | null, contents: string): PreparedSource {
  const { uri, storage } = source;
  const sizeBytes = http.sizeBytes ?? 0;
  const fingerprint = http.fingerprint();
  const exchange = new ReadExchange();
  void serveReads(exchange, http);
  let local: { readonly folder: string; readonly server: OwnNbdServer } | null = null;
  let open = true;
  return {
    descriptor: { kind: 'http', uri, storage, sizeBytes, fingerprint, exchange: exchange.buffer, window, contents },
    helperPids: [],
    async localUri() {
      local ??= await serveLocally({ sizeBytes, readAt: (at, bytes) => http.readAt(at, bytes) });
      return `nbd+unix:///?socket=${encodeURIComponent(join(local.folder, SOCKET))}`;
    },
    async close() {
      if (!open) return;
      open = false;
      exchange.requestClose();
      await http.close();
      await local?.server.close();
      if (local !== null) rmSync(local.folder, { recursive: true, force: true });
    },
  };
}

/** Until nothing is wanted any more. */
async function serveReads(exchange: ReadExchange, http: HttpSource): Promise<void> {
  for (let requests = await exchange.nextRequests(); requests !== null; requests = await exchange.nextRequests()) {
    for (const request of requests) {
      void http.readInto(request.target, request.offsetBytes).then(
        () => exchange.answer(request),
        (error: unknown) => exchange.answerFailure(request, codeOf(error) ?? 'SOURCE_READ_FAILED', messageOf(error)),
      );
    }
  }
}

const SOCKET = 'n';

async function serveLocally(
  content: NbdContent,
  onFailure: (error: unknown) => void = () => undefined,
): Promise<{ folder: string; server: OwnNbdServer }> {
  const folder = privateFolder();
  try {
    return { folder, server: await serveOverNbd(content, join(folder, SOCKET), onFailure) };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

const QEMU_SECTOR_BYTES = 512;

/**
 * In whole sectors, the last one filled with zeros, as QEMU sees a file. Of an export that ends within one it asks for
 * the bytes up to its end, and then waits for ever for those up to the end of the sector.
 */
function inSectors(http: HttpSource): NbdContent {
  const end = http.sizeBytes ?? 0;
  return {
    sizeBytes: Math.ceil(end / QEMU_SECTOR_BYTES) * QEMU_SECTOR_BYTES,
    async readAt(offsetBytes, lengthBytes) {
      if (offsetBytes + lengthBytes <= end) return http.readAt(offsetBytes, lengthBytes);
      const bytes = new Uint8Array(lengthBytes);
      if (offsetBytes < end) bytes.set(await http.readAt(offsetBytes, end - offsetBytes));
      return bytes;
    },
  };
}

const NOTE_BYTES = 4096;

/** Through QEMU, which reads from a server of ours: its own client of HTTP stalls (docs/decisions/0062). */
async function imaged(
  source: IdentifiedSource,
  http: HttpSource,
  format: ImageFormat,
  window: Window | null,
  prepareImage: PrepareImage,
): Promise<PreparedSource> {
  const failure = new SharedArrayBuffer(NOTE_BYTES);
  const { folder, server } = await serveLocally(inSectors(http), (error) => {
    writeNote(failure, `${codeOf(error) ?? 'SOURCE_READ_FAILED'} ${messageOf(error)}`);
  });
  const file: BlockNode = { driver: 'nbd', server: { type: 'unix', path: join(folder, SOCKET) } };
  try {
    const prepared = await prepareImage(source, format, {
      storage: window === null ? file : { driver: 'raw', offset: window.offsetBytes, size: window.lengthBytes, file },
      path: null,
      storedBytes: window?.lengthBytes ?? http.sizeBytes ?? 0,
      fingerprint: http.fingerprint(),
      failure,
    });
    return {
      descriptor: prepared.descriptor,
      get helperPids() {
        return prepared.helperPids;
      },
      async close() {
        await prepared.close();
        await server.close();
        await http.close();
      },
    };
  } catch (error) {
    await server.close();
    // What QEMU makes of a read that failed says less than why it failed.
    throw server.failure ?? error;
  } finally {
    // QEMU has its connection by now: so however this process dies, no folder stays behind.
    rmSync(folder, { recursive: true, force: true });
  }
}
