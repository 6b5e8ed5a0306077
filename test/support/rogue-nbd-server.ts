// An NBD server that breaks the protocol in a way named by its argument; a process of its own, because the client blocks
// the thread of the test. It sends its port to its parent. NBD protocol: newstyle negotiation, simple replies.
import { createServer, type Socket } from 'node:net';

const EXPORT_BYTES = 8 * 1024 * 1024;
const mode = process.argv[2] ?? '';
let connections = 0;

/** Bytes as they arrive, asked for by number. */
class Reader {
  #held = Buffer.alloc(0);
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    socket.on('data', (bytes: Buffer) => {
      this.#held = Buffer.concat([this.#held, bytes]);
      this.#wake();
    });
  }

  async take(count: number): Promise<Buffer> {
    while (this.#held.length < count) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
    const out = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return out;
  }
}

function optionReply(option: number, type: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(0x0003_e889_0455_65a9n, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(payload.length, 16);
  return Buffer.concat([head, payload]);
}

/** Until NBD_OPT_GO is acknowledged; every other option is "unsupported". */
async function negotiate(socket: Socket, reader: Reader, sizeBytes: bigint): Promise<void> {
  const hello = Buffer.alloc(18);
  hello.write('NBDMAGICIHAVEOPT');
  hello.writeUInt16BE(3, 16);
  socket.write(hello);
  await reader.take(4);
  for (;;) {
    const head = await reader.take(16);
    const option = head.readUInt32BE(8);
    await reader.take(head.readUInt32BE(12));
    if (option !== 7) {
      socket.write(optionReply(option, 0x8000_0001));
      continue;
    }
    const info = Buffer.alloc(12);
    info.writeBigUInt64BE(sizeBytes, 2);
    info.writeUInt16BE(1 | 4, 10);
    socket.write(optionReply(option, 3, info));
    socket.write(optionReply(option, 1));
    return;
  }
}

/** Answers one request as the mode says; false when the connection is to end. */
function answer(socket: Socket, request: Buffer): boolean {
  const reply = Buffer.alloc(16);
  reply.writeUInt32BE(0x6744_6698, 0);
  request.copy(reply, 8, 8, 16);
  const data = Buffer.alloc(request.readUInt32BE(24), 0x5a);
  if (mode === 'mute') return true;
  if (mode === 'rubbish-reply') {
    socket.write(Buffer.alloc(4096, 0x42));
    return true;
  }
  const dies = mode === 'die-mid-reply' || (mode === 'die-once' && connections === 1) || mode === 'resize';
  if (dies) {
    socket.end(Buffer.concat([reply, data.subarray(0, data.length / 2)]));
    return false;
  }
  socket.write(Buffer.concat([reply, data]));
  return true;
}

async function serve(socket: Socket): Promise<void> {
  connections += 1;
  if (mode === 'silent') return;
  if (mode === 'rubbish') {
    socket.end(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\nwhat do you want from me?'));
    return;
  }
  const reader = new Reader(socket);
  const odd = mode === 'resize' && connections > 1 ? EXPORT_BYTES / 2 : EXPORT_BYTES;
  await negotiate(socket, reader, mode === 'huge' ? 0x7fff_ffff_ffff_ff00n : BigInt(odd));
  for (;;) {
    const request = await reader.take(28);
    const type = request.readUInt16BE(6);
    if (type === 2) break;
    if (type === 1) await reader.take(request.readUInt32BE(24));
    if (!answer(socket, request)) return;
  }
  socket.end();
}

const server = createServer((socket) => {
  // A client that hangs up in the middle of nonsense is no surprise here.
  socket.on('error', () => socket.destroy());
  void serve(socket);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address !== 'string') process.send?.(address.port);
});
process.on('disconnect', () => process.exit());
