import { limits, toldOf } from '../../base/mod.ts';
import { busErrors, futexWait, mapShared } from '../../linux/mod.ts';
import { HEADER_BYTES, Header, RingHeader, RingState, ringBroken } from '../ring/mod.ts';
import { failureOf } from './failure.ts';
import { Control, type TargetResult } from './options.ts';

/** Waits until the producer has made the ring ready; its failure, or our own stop, comes back as an error. */
export function awaitReady(ringFd: number, control: Int32Array): TargetResult['error'] {
  const page = mapShared(ringFd, HEADER_BYTES);
  const header = new RingHeader(page.buffer);
  try {
    for (let state = header.get('state'); state !== RingState.ready; state = header.get('state')) {
      if (Atomics.load(control, Control.abort) !== 0) return { code: 'INTERRUPTED', message: 'the copy was stopped' };
      if (busErrors() > 0) return toldBroken('it was cut short');
      if (state !== RingState.starting) {
        const isEnded = state === RingState.failed || state === RingState.closed;
        if (!isEnded) return toldBroken(`its state is ${state}`);
        return toldOf(failureOf(header.getText('failure')));
      }
      futexWait(header.words, Header.state, state, limits.WAIT_MS_MAX);
    }
    return null;
  } finally {
    page.unmap();
  }
}

function toldBroken(what: string): NonNullable<TargetResult['error']> {
  const { code, message } = ringBroken(what);
  return { code, message };
}
