// A storage node in a process of its own, as a test uses it: the contract over messages, and the process that can be
// killed.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { type Call, UnderstudyError } from '../../src/base/mod.ts';
import type { CopyProgress, LocalStorageNode } from '../../src/storage/mod.ts';
import type { FromHost, StorageRequest, StorageSetting, ToHost, WireError } from './storage-wire.ts';

const PROGRAM = resolve('dist/test/rig/storage-host.js');

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((progress: CopyProgress) => void) | undefined;
}

function thrown({ code, message, details }: WireError): Error {
  return code === null ? new Error(message) : new UnderstudyError(code, message, { details });
}

/** What a call rejects with when the process that ran the node is gone. */
export class ProcessGone extends Error {}

export class StorageProcess {
  readonly child: ChildProcess;
  readonly gone: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.gone = once(child, 'exit').then(() => {});
    child.on('message', (message: FromHost) => this.#receive(message));
    void this.gone.then(() => {
      for (const { reject } of this.#pending.values()) reject(new ProcessGone('the process that ran the node is gone'));
      this.#pending.clear();
    });
  }

  /** Rejects with what `createStorageNode` threw. */
  static async start(setting: StorageSetting, env: NodeJS.ProcessEnv): Promise<StorageProcess> {
    const child = fork(PROGRAM, [JSON.stringify(setting)], { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const host = new StorageProcess(child);
    const first = new Promise<void>((ready, fail) => {
      child.once('message', (message: FromHost) => {
        if ('failed' in message) fail(thrown(message.failed));
        else ready();
      });
      child.once('exit', (status, signal) =>
        fail(new ProcessGone(`ended with ${status ?? signal} before it was ready`)),
      );
      child.once('error', fail);
    });
    await first;
    return host;
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the process was not started');
    return this.child.pid;
  }

  readonly node: LocalStorageNode = {
    status: () => this.#ask({ method: 'status' }),
    attach: (volume, host, call) => this.#ask({ method: 'attach', volume, host }, call),
    detach: (volume, call) => this.#ask({ method: 'detach', volume }, call),
    backup: (volume, engagement, call, report) => this.#ask({ method: 'backup', volume, engagement }, call, report),
    replicate: ({ onProgress, ...request }, call) => this.#ask({ method: 'replicate', request }, call, onProgress),
    inspect: (volume, lead, call) => this.#ask({ method: 'inspect', volume, lead }, call),
    personalise: (request, call) => this.#ask({ method: 'personalise', request }, call),
    restore: (volume, engagement, call, report) => this.#ask({ method: 'restore', volume, engagement }, call, report),
    discard: (volume, engagement, call) => this.#ask({ method: 'discard', volume, engagement }, call),
    floor: {
      read: () => Promise.reject(new Error('a test asks the folder')),
      raise: () => Promise.reject(new Error('a test asks the folder')),
      unsettle: () => Promise.reject(new Error('a test asks the folder')),
    },
    setVolumes: () => Promise.reject(new Error('its volumes stay as they are')),
    renewCertificates: () => this.#ask({ method: 'renewCertificates' }),
    close: () => this.#ask({ method: 'close' }),
    shutdown: () => this.#ask({ method: 'shutdown' }),
  };

  #ask<T>(ask: StorageRequest, call?: Call, onProgress?: (progress: CopyProgress) => void): Promise<T> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise<T>((resolve, reject) => {
      if (!this.child.connected) return reject(new ProcessGone('the process that ran the node is gone'));
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject, onProgress });
      this.#send({ id, epoch: call?.epoch ?? 0, ask });
      const abort = (): void => this.#send({ abort: id });
      if (call?.signal.aborted === true) abort();
      else call?.signal.addEventListener('abort', abort, { once: true });
    });
  }

  #send(message: ToHost): void {
    if (!this.child.connected) return;
    this.child.send(message, (error) => {
      // The process died while this was on its way: `gone` tells it to whoever waits.
      if (error !== null && this.child.connected) throw error;
    });
  }

  #receive(message: FromHost): void {
    if (!('id' in message)) return;
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if ('progress' in message) {
      pending.onProgress?.(message.progress);
      return;
    }
    this.#pending.delete(message.id);
    if ('error' in message) pending.reject(thrown(message.error));
    else pending.resolve(message.value);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    await this.gone;
  }

  /** Ends node and process in good order; the daemon goes on. */
  async stop(): Promise<void> {
    await this.node.close();
    this.child.disconnect();
    await this.gone;
  }
}
