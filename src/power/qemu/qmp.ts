// One conversation with a machine's monitor: QEMU Machine Protocol (docs/interop/qmp-spec.txt of QEMU), one line of
// JSON each way. A monitor talks to one client at a time, so a conversation is short.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { errnoOf, messageOf } from '../../base/mod.ts';

/** Longer than any answer about a few drives; a peer that sends more is not QEMU. */
const LINE_CHARACTERS_MAX = 4 * 1024 * 1024;

/** The monitor did not answer, or what answered is not one. */
export class MonitorSilent extends Error {}
/** QEMU understood and refused. */
export class MonitorRefused extends Error {}

async function* linesOf(socket: Socket): AsyncGenerator<string, void> {
  let rest = '';
  for await (const text of socket.setEncoding('utf8')) {
    rest += text;
    if (rest.length > LINE_CHARACTERS_MAX) throw new MonitorSilent('says too much');
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

export class Monitor {
  readonly #socket: Socket;
  readonly #lines: AsyncGenerator<string, void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = linesOf(socket);
  }

  /**
   * Opens a conversation, does `work`, and closes it.
   * @returns null when nobody listens at the path
   * @throws MonitorSilent when the conversation is not over in time, or the peer is not a monitor or went away
   */
  static async talk<T>(path: string, timeoutMs: number, work: (monitor: Monitor) => Promise<T>): Promise<T | null> {
    const socket = createConnection(path);
    // Errors are met where the socket is waited for, read or written; the event alone must not end the process.
    socket.on('error', () => socket.destroy());
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      await once(socket, 'connect');
      const monitor = new Monitor(socket);
      if (!('QMP' in (await monitor.#message()))) throw new MonitorSilent('no greeting');
      await monitor.execute('qmp_capabilities');
      return await work(monitor);
    } catch (error) {
      if (['ENOENT', 'ECONNREFUSED'].includes(errnoOf(error) ?? '')) return null;
      if (error instanceof MonitorRefused) throw error;
      throw new MonitorSilent(`${path}: ${messageOf(error)}`, { cause: error });
    } finally {
      clearTimeout(timer);
      socket.destroy();
    }
  }

  async #message(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new MonitorSilent('the monitor hung up');
    const message: unknown = JSON.parse(value);
    if (typeof message !== 'object' || message === null) throw new MonitorSilent('not a message');
    return message as Record<string, unknown>;
  }

  /** @throws MonitorRefused with what QEMU said */
  async execute(command: string, args: object = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const message = await this.#message();
      if ('return' in message) return message.return;
      // Everything else that comes is an event.
      if ('error' in message) throw new MonitorRefused(`${command}: ${JSON.stringify(message.error)}`);
    }
  }
}
