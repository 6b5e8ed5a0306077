// undici 7 asserts that a body is not paused when its connection ends, in an event handler where nobody can catch it: a server
// that closes while a slow target is waited for would end the process (https://github.com/nodejs/undici/issues/5360; mended in
// version 8, which Node.js 20 cannot run). Here the end is kept back until the body is read on. Connections have to be half
// open (`allowHalfOpen`), so that they are still there then.
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

let mending = false;

/** Mends every connection of undici that this process makes from now on. */
export function mendSockets(): void {
  if (mending) return;
  mending = true;
  subscribe('undici:client:connected', (message) => keepEndBack((message as { socket: Socket }).socket));
}

function keepEndBack(socket: Socket): void {
  const emit = socket.emit.bind(socket);
  const read = socket.read.bind(socket);
  let kept = false;
  socket.emit = (event: string | symbol, ...values: unknown[]): boolean => {
    if (event !== 'end') return emit(event, ...values);
    try {
      return emit(event);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_ASSERTION') throw error;
      kept = true;
      return true;
    }
  };
  // undici reads when it goes on.
  socket.read = (size?: number): unknown => {
    if (!kept) return read(size);
    kept = false;
    setImmediate(() => {
      if (!socket.destroyed) socket.emit('end');
    });
    return null;
  };
}
