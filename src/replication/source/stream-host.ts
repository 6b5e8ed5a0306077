// Runs what is behind a stream: starts it, starts it again when the reader wants the stream from its beginning, and
// tells the
// reader how it ended. On the main thread, because helpers die with the thread that started them.
import { codeOf, messageOf } from '../../base/mod.ts';
import { STREAM_STATE, StreamControl } from '../device/stream-control.ts';
import type { Flow } from './flow.ts';
import type { Run } from './run.ts';

export interface StreamHost {
  readonly control: SharedArrayBuffer;
  /** Process ids of the programs that run now. */
  readonly helperPids: number[];
  /** Ends the programs and closes their pipes. Only once nobody reads the stream any more. Idempotent. */
  close(): Promise<void>;
}

export interface Opened {
  readonly run: Run;
  /** The image, raw. */
  readonly flow: Flow;
}

/** How often the reader is told that the source, which bounds its own time, is still waited for. */
const STIR_INTERVAL_MS = 1000;

/** Goes on with a reading that has begun; `again` begins another one, of the same. `waiting`: the source is waited for. */
export function hostStream(first: Opened, again: () => Promise<Opened>, waiting: () => boolean): StreamHost {
  const control = new StreamControl();
  const stirring = setInterval(() => {
    if (waiting()) control.stir();
  }, STIR_INTERVAL_MS);
  let opened: Opened | null = first;
  let generation = 0;

  function publish({ run, flow }: Opened): void {
    const mine = generation;
    control.publishStart(mine, run.toPipe(flow), flow.first);
    run.ended().then(
      () => report(mine, null),
      (error: unknown) => report(mine, error),
    );
  }

  function report(ofGeneration: number, error: unknown): void {
    if (ofGeneration !== generation) return;
    if (error === null) control.publishEnd(STREAM_STATE.ended, '');
    else control.publishEnd(STREAM_STATE.failed, `${codeOf(error) ?? 'SOURCE_READ_FAILED'} ${messageOf(error)}`);
  }

  async function serve(): Promise<void> {
    for (;;) {
      const request = await control.nextRequest(generation);
      if (request === null) return;
      // From here on the end of the old reading concerns nobody.
      generation = request;
      await opened?.run.stop();
      opened = null;
      try {
        opened = await again();
        publish(opened);
      } catch (error) {
        control.publishStart(generation, -1);
        report(generation, error);
      }
    }
  }

  publish(first);
  const served = serve().then(() => opened?.run.stop());
  return {
    control: control.buffer,
    get helperPids() {
      return opened?.run.pids ?? [];
    },
    async close() {
      control.requestClose();
      clearInterval(stirring);
      await served;
    },
  };
}
