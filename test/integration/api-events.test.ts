import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventView } from '../../src/controller/mod.ts';
import { eventually } from '../rig/wait.ts';
import { ApiStage, VIEWER } from '../support/api-stage.ts';
import { decision } from '../support/controller-peer.ts';

let stage: ApiStage;
const readers: Reader[] = [];
beforeEach(async () => {
  stage = await ApiStage.open();
  // The metrics read events as well, as long as the server runs.
  await eventually('the metrics read', () => stage.controller.readers === 1);
});
afterEach(async () => {
  for (const reader of readers.splice(0)) reader.end();
  await stage.close();
  expect(stage.controller.readers).toBe(0);
});

/** One who reads the stream as text, as it is on the wire. */
class Reader {
  text = '';
  ended = false;
  response: IncomingMessage | null = null;
  readonly #request: ClientRequest;

  constructor(path = '/v1/events', headers: Readonly<Record<string, string>> = {}) {
    const all = { authorization: `Bearer ${VIEWER}`, ...headers };
    this.#request = request(`${stage.url}${path}`, { headers: all, agent: false }, (response) => {
      this.response = response;
      response.on('data', (chunk: Buffer) => {
        this.text += chunk.toString();
      });
      response.on('error', () => {
        this.ended = true;
      });
      response.on('close', () => {
        this.ended = true;
      });
    });
    this.#request.on('error', () => {
      this.ended = true;
    });
    this.#request.end();
    readers.push(this);
  }

  /** What came as events, read with the rules of the standard. */
  get events(): readonly EventView[] {
    return this.messages.flatMap((lines) => {
      const data = lines.find((line) => line.startsWith('data: '));
      if (data === undefined || lines.some((line) => line.startsWith('event:'))) return [];
      const event = JSON.parse(data.slice(6)) as EventView;
      expect(lines).toContain(`id: ${event.revision}`);
      return [event];
    });
  }

  get messages(): readonly (readonly string[])[] {
    return this.text
      .split('\n\n')
      .slice(0, -1)
      .map((message) => message.split('\n'));
  }

  get revisions(): readonly number[] {
    return this.events.map(({ revision }) => revision);
  }

  async connected(): Promise<this> {
    await eventually('the stream has begun', () => this.text.includes('retry: '));
    return this;
  }

  async has(count: number): Promise<void> {
    await eventually(
      () => `${count} events in ${this.text}`,
      () => this.events.length >= count,
    );
  }

  end(): void {
    this.#request.destroy();
  }
}

function emit(count: number): void {
  for (let index = 0; index < count; index++) {
    stage.controller.emit({
      kind: 'verdict',
      subject: 'service/wiki',
      text: `line ${index}\nand "more"`,
      data: { index },
    });
  }
}

describe('events', () => {
  it('api - without a revision only new ones come, each whole, with its revision as id', async () => {
    emit(2);
    const reader = await new Reader().connected();
    expect(reader.response?.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
    });
    const sent = stage.controller.emit({ kind: 'decision', subject: 'service/wiki', text: 'x\r\ny', data: decision });
    await reader.has(1);
    expect(reader.events).toEqual([sent]);
  });

  it('api - a reader that was cut off goes on where it was', async () => {
    emit(5);
    const first = new Reader('/v1/events?after=0');
    await first.has(5);
    first.end();
    await eventually('the reader is gone', () => stage.controller.readers === 1);
    emit(2);
    const second = new Reader('/v1/events?after=0', { 'last-event-id': String(first.revisions.at(-1)) });
    await second.has(2);
    emit(1);
    await second.has(3);
    expect([first.revisions, second.revisions]).toEqual([
      [1, 2, 3, 4, 5],
      [6, 7, 8],
    ]);
  });

  it('api - every event is delivered once and in order, also to several readers and when there are many', async () => {
    const early = await new Reader('/v1/events?after=0').connected();
    emit(2000);
    const late = new Reader('/v1/events?after=1000');
    await Promise.all([early.has(2000), late.has(1000)]);
    const all = Array.from({ length: 2000 }, (_, index) => index + 1);
    expect(early.revisions).toEqual(all);
    expect(late.revisions).toEqual(all.slice(1000));
  });

  it('api - a reader that takes nothing holds up nobody, and holds no more than its connection does', async () => {
    const slow = await new Reader('/v1/events?after=0').connected();
    slow.response?.pause();
    for (let index = 0; index < 64; index++) {
      stage.controller.emit({ kind: 'error', subject: 'controller', text: 'x'.repeat(256 * 1024), data: {} });
    }
    const quick = new Reader('/v1/events?after=0');
    await quick.has(64);
    slow.response?.resume();
    await slow.has(64);
    expect(slow.revisions).toEqual(quick.revisions);
  });

  it('api - when the events cannot be read, the reader is told why and the stream ends', async () => {
    const reader = await new Reader().connected();
    stage.controller.fail('LEASE_LOST', 'replaced');
    emit(1);
    await eventually('the end', () => reader.ended);
    // Also when to come again.
    expect(reader.messages.at(-1)).toEqual([
      expect.stringMatching(/^retry: [0-9]+$/),
      'event: failure',
      'data: {"error":{"code":"LEASE_LOST","message":"replaced"}}',
    ]);
    expect(stage.defects).toEqual([]);
  });

  it('api - a defect of the events is told without its cause, and ends that stream alone', async () => {
    const reader = await new Reader().connected();
    stage.controller.trouble = new RangeError('secret');
    emit(1);
    await eventually('the defect', () => stage.defects.length > 0);
    await eventually('the end', () => reader.ended);
    expect(reader.text).toContain('"code":"INTERNAL"');
    expect(reader.text).not.toContain('secret');
  });

  it('api - there is an end to the number of readers, and who goes makes room', async () => {
    const many = Array.from({ length: 64 }, () => new Reader());
    await Promise.all(many.map((reader) => reader.connected()));
    const refused = await stage.ask('/v1/events', { token: VIEWER });
    expect([refused.status, refused.json]).toMatchObject([429, { error: { code: 'API_BUSY' } }]);
    expect(refused.headers['retry-after']).toBe('1');
    many[0]?.end();
    await eventually('one is gone', () => stage.controller.readers === 64);
    await new Reader().connected();
  });

  it.each(['-1', 'x', '1.5'])('api - "%s" is no revision', async (text) => {
    const query = await stage.ask(`/v1/events?after=${text}`, { token: VIEWER });
    const header = await stage.ask('/v1/events', { token: VIEWER, headers: { 'last-event-id': text } });
    for (const answer of [query, header]) {
      expect([answer.status, answer.json]).toMatchObject([400, { error: { code: 'API_INVALID' } }]);
    }
  });

  it('api - the end of the server ends the streams', async () => {
    const reader = await new Reader().connected();
    await stage.api.close();
    await eventually('the end', () => reader.ended);
  });
});
