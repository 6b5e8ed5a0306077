// A file on an HTTP server that gives ranges: read at any offset, several ranges on their way at once. The requests are made
// by the main thread (source/http), which tries again what fails; so an error here is the last word.
import { assert, limits, systemClock, type UnderstudyError } from '../../base/mod.ts';
import type { Completion, Device, DeviceInfo, Extent, Transfer } from './contract.ts';
import { ReadExchange, SLOT_BYTES, SLOTS } from './read-exchange.ts';

export interface HttpDeviceOptions {
  readonly uri: string;
  readonly identity: string;
  readonly sizeBytes: number;
  readonly fingerprint: string;
  /** What the main thread serves. */
  readonly exchange: SharedArrayBuffer;
}

/** A transfer in flight, cut into pieces. */
interface Job {
  readonly transfer: Transfer;
  /** Bytes of the transfer that lie within the file. */
  readonly lengthBytes: number;
  askedBytes: number;
  piecesAway: number;
  error: UnderstudyError | null;
}

interface Piece {
  readonly job: Job;
  readonly slot: number;
  readonly target: Uint8Array;
}

class HttpDevice implements Device {
  readonly info: DeviceInfo;
  readonly #fingerprint: string;
  readonly #exchange: ReadExchange;
  readonly #jobs: Job[] = [];
  readonly #pieces: Piece[] = [];

  constructor({ uri, identity, sizeBytes, fingerprint, exchange }: HttpDeviceOptions) {
    this.#fingerprint = fingerprint;
    this.#exchange = new ReadExchange(exchange);
    this.info = { uri, identity, sizeBytes, access: 'random', alignmentBytes: 1, depth: SLOTS, cached: false };
  }

  submit(transfer: Transfer): void {
    assert(transfer.kind === 'read', 'HTTP sources are read only');
    assert(this.#jobs.length < this.info.depth, 'no more transfers than the depth');
    const left = Math.max(0, (this.info.sizeBytes ?? 0) - transfer.offsetBytes);
    const lengthBytes = Math.min(left, transfer.buffer.byteLength);
    this.#jobs.push({ transfer, lengthBytes, askedBytes: 0, piecesAway: 0, error: null });
    this.#ask();
  }

  /** Asks for as many pieces as there are slots, the oldest transfer first. */
  #ask(): void {
    for (const job of this.#jobs) {
      while (job.error === null && job.askedBytes < job.lengthBytes) {
        const wanted = Math.min(SLOT_BYTES, job.lengthBytes - job.askedBytes);
        const slot = this.#exchange.request(job.transfer.offsetBytes + job.askedBytes, wanted);
        if (slot === null) return;
        const target = job.transfer.buffer.subarray(job.askedBytes, job.askedBytes + wanted);
        this.#pieces.push({ job, slot, target });
        job.askedBytes += wanted;
        job.piecesAway += 1;
      }
    }
  }

  reap(timeoutMs: number): readonly Completion[] {
    const deadlineMs = systemClock.nowMs() + timeoutMs;
    for (;;) {
      const seen = this.#exchange.answers;
      this.#collect();
      this.#ask();
      const completions = this.#completed();
      const leftMs = deadlineMs - systemClock.nowMs();
      if (completions.length > 0 || this.#jobs.length === 0 || leftMs <= 0) return completions;
      this.#exchange.waitAnswer(seen, Math.min(leftMs, limits.IO_TIMEOUT_MS));
    }
  }

  #collect(): void {
    for (const piece of this.#pieces.splice(0)) {
      const taken = this.#exchange.take(piece.slot, piece.target);
      if (taken === null) {
        this.#pieces.push(piece);
        continue;
      }
      piece.job.piecesAway -= 1;
      piece.job.error ??= taken.error;
    }
  }

  #completed(): readonly Completion[] {
    const completions: Completion[] = [];
    for (const job of this.#jobs.splice(0)) {
      const { transfer, lengthBytes, error } = job;
      const over = job.piecesAway === 0 && (error !== null || job.askedBytes === lengthBytes);
      if (over) completions.push({ tag: transfer.tag, bytes: error === null ? lengthBytes : 0, error });
      else this.#jobs.push(job);
    }
    return completions;
  }

  zero(): void {
    assert(false, 'HTTP sources are read only');
  }

  flush(): void {
    assert(false, 'HTTP sources are read only');
  }

  extents(): readonly Extent[] | null {
    return null;
  }

  /** The validator of the first answer: the main thread holds every further one to it. */
  fingerprint(): string {
    return this.#fingerprint;
  }

  close(): void {
    this.#exchange.requestClose();
    this.#jobs.length = 0;
    this.#pieces.length = 0;
  }
}

/** Completions carry what the main thread gives up with: SOURCE_CHANGED, SOURCE_UNAVAILABLE, SOURCE_TIMEOUT and others. */
export function openHttpDevice(options: HttpDeviceOptions): Device {
  return new HttpDevice(options);
}
