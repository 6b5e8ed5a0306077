// Reads server-sent events (HTML standard, section 9.2.6) as far as we send them.
import { UnderstudyError } from '../base/mod.ts';

export interface ServerMessage {
  /** "message" when it has no name. */
  readonly event: string;
  readonly data: string;
}

/** Longest message taken. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

/** Messages as they come; null for a sign of life without one. @throws API_UNAVAILABLE for a message without end */
export async function* readMessages(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerMessage | null> {
  const decoder = new TextDecoder();
  let rest = '';
  let event = 'message';
  let data: string[] = [];
  let length = 0;
  for await (const chunk of body) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    length += chunk.length;
    if (length > MESSAGE_BYTES_MAX) throw new UnderstudyError('API_UNAVAILABLE', 'an event has no end');
    yield null;
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) yield { event, data: data.join('\n') };
        event = 'message';
        data = [];
        length = rest.length;
      } else if (line.startsWith('event:')) event = line.slice(6).trimStart();
      else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
    }
  }
}
