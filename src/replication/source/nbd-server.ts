// Bytes of ours for programs that speak NBD: QEMU, and those that look at partitions and file systems. A small server,
// read-only, on a Unix socket in a private folder; the protocol is https://github.com/NetworkBlockDevice/nbd,
// doc/proto.md.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { messageOf } from '../../base/mod.ts';
import { ByteReader } from './byte-reader.ts';

export interface NbdContent {
  readonly sizeBytes: number;
  /** Exactly these bytes, which lie within the size. */
  readAt(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
}

export interface OwnNbdServer {
  /** What the last read that failed failed with; programs are only told that it did. */
  readonly failure: unknown;
  /** Ends the server and its connections. Idempotent. */
  close(): Promise<void>;
}

const MAGIC = 0x4e42444d41474943n;
const OPTION_MAGIC = 0x49484156454f5054n;
const REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;

const FLAG_FIXED_NEWSTYLE = 1;
const FLAG_NO_ZEROES = 2;
/** Has flags, is read-only, may be read over several connections. */
const TRANSMISSION_FLAGS = 0b1_0000_0011;

const OPTION = { exportName: 1, abort: 2, list: 3, info: 6, go: 7 } as const;
const REPLY = { ack: 1, server: 2, info: 3, unsupported: 2 ** 31 + 1, invalid: 2 ** 31 + 3 } as const;
const INFO_EXPORT = 0;
const COMMAND = { read: 0, disconnect: 2 } as const;
const ERROR = { permission: 1, io: 5, invalid: 22 } as const;

const OPTION_BYTES_MAX = 4096;
const READ_BYTES_MAX = 32 * 1024 * 1024;

/** Listens on `path` when this resolves. `onFailure` is told of reads that fail, before their clients are. */
export async function serveOverNbd(
  content: NbdContent,
  path: string,
  onFailure: (error: unknown) => void = () => undefined,
): Promise<OwnNbdServer> {
  const connections = new Set<Socket>();
  let failure: unknown = null;
  const fail = (error: unknown): void => {
    failure ??= error;
    onFailure(error);
  };
  const server: Server = createServer((socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    // Its client will notice as well; what it wanted is over.
    socket.on('error', () => socket.destroy());
    void new Connection(socket, content, fail).run();
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    get failure() {
      return failure;
    },
    async close() {
      for (const socket of connections) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

class Connection {
  readonly #socket: Socket;
  readonly #content: NbdContent;
  readonly #fail: (error: unknown) => void;
  readonly #reader: ByteReader;

  constructor(socket: Socket, content: NbdContent, fail: (error: unknown) => void) {
    this.#socket = socket;
    this.#reader = new ByteReader(socket);
    this.#content = content;
    this.#fail = fail;
  }

  async run(): Promise<void> {
    try {
      if (await this.#negotiate()) await this.#transmit();
    } catch (error) {
      // A client that breaks off or does not keep to the protocol.
      this.#socket.destroy(error instanceof Error ? error : new Error(messageOf(error)));
      return;
    }
    this.#socket.end();
  }

  /** @throws when the client has gone */
  async #take(bytes: number): Promise<Buffer> {
    const taken = await this.#reader.take(bytes);
    if (taken.byteLength < bytes) throw new Error('the client has gone');
    return Buffer.from(taken.buffer, taken.byteOffset, taken.byteLength);
  }

  async #negotiate(): Promise<boolean> {
    const greeting = Buffer.alloc(18);
    greeting.writeBigUInt64BE(MAGIC, 0);
    greeting.writeBigUInt64BE(OPTION_MAGIC, 8);
    greeting.writeUInt16BE(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 16);
    this.#socket.write(greeting);
    const noZeroes = ((await this.#take(4)).readUInt32BE() & FLAG_NO_ZEROES) !== 0;
    for (;;) {
      const head = await this.#take(16);
      const option = head.readUInt32BE(8);
      const length = head.readUInt32BE(12);
      if (head.readBigUInt64BE(0) !== OPTION_MAGIC || length > OPTION_BYTES_MAX) throw new Error('not an NBD client');
      await this.#take(length);
      if (option === OPTION.exportName) {
        this.#socket.write(Buffer.concat([this.#exportFacts(), Buffer.alloc(noZeroes ? 0 : 124)]));
        return true;
      }
      if (option === OPTION.go || option === OPTION.info) {
        const info = Buffer.alloc(2);
        info.writeUInt16BE(INFO_EXPORT);
        this.#reply(option, REPLY.info, Buffer.concat([info, this.#exportFacts()]));
        this.#reply(option, REPLY.ack);
        if (option === OPTION.go) return true;
      } else if (option === OPTION.list) {
        // One export, whose name is empty.
        this.#reply(option, REPLY.server, Buffer.alloc(4));
        this.#reply(option, REPLY.ack);
      } else if (option === OPTION.abort) {
        this.#reply(option, REPLY.ack);
        return false;
      } else this.#reply(option, REPLY.unsupported);
    }
  }

  #exportFacts(): Buffer {
    const facts = Buffer.alloc(10);
    facts.writeBigUInt64BE(BigInt(this.#content.sizeBytes), 0);
    facts.writeUInt16BE(TRANSMISSION_FLAGS, 8);
    return facts;
  }

  #reply(option: number, type: number, data: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(REPLY_MAGIC, 0);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(data.length, 16);
    this.#socket.write(Buffer.concat([head, data]));
  }

  async #transmit(): Promise<void> {
    for (;;) {
      const head = await this.#take(28);
      if (head.readUInt32BE(0) !== REQUEST_MAGIC) throw new Error('not an NBD request');
      const command = head.readUInt16BE(6);
      const cookie = head.subarray(8, 16);
      if (command === COMMAND.disconnect) return;
      const offset = Number(head.readBigUInt64BE(16));
      const length = head.readUInt32BE(24);
      if (command !== COMMAND.read) {
        // A write would bring bytes that were not asked for: only what has none can be answered and gone on after.
        if (command === 1) throw new Error('the export is read-only');
        this.#answer(cookie, ERROR.permission);
      } else if (length === 0 || length > READ_BYTES_MAX || offset + length > this.#content.sizeBytes) {
        this.#answer(cookie, ERROR.invalid);
      } else {
        // Several at once: answers may come in any order.
        void this.#read(cookie, offset, length);
      }
    }
  }

  async #read(cookie: Buffer, offset: number, length: number): Promise<void> {
    try {
      const bytes = await this.#content.readAt(offset, length);
      this.#answer(cookie, 0, bytes);
    } catch (error) {
      this.#fail(error);
      this.#answer(cookie, ERROR.io);
    }
  }

  #answer(cookie: Buffer, error: number, data: Uint8Array | null = null): void {
    if (this.#socket.destroyed) return;
    const head = Buffer.alloc(16);
    head.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
    head.writeUInt32BE(error, 4);
    cookie.copy(head, 8);
    this.#socket.cork();
    this.#socket.write(head);
    if (data !== null) this.#socket.write(data);
    this.#socket.uncork();
  }
}
