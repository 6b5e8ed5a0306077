// New SSH host keys, by the program that owns their format: ssh-keygen(1).
import { readFile, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { requireTool, runTool, UnderstudyError } from '../base/mod.ts';
import type { WorkFolder } from './image/mod.ts';
import type { Makers, SshKeyPair, SshKeySpec } from './rules/mod.ts';

/** RSA keys of 3072 bits take half a second; much more on a loaded machine that is short of luck. */
const TIMEOUT_MS = 120_000;
/** How long RSA takes is luck: the quicker of two that try at once had more of it. */
const RSA_TRIES = Math.min(2, availableParallelism());

/** Keys for one plan; what was begun and nobody asked for is ended with it. */
export async function withKeys<T>(
  work: WorkFolder,
  signal: AbortSignal,
  use: (makers: Makers) => Promise<T>,
): Promise<T> {
  const keys = new KeyMaker(work, signal);
  try {
    return await use(keys);
  } finally {
    await keys.close();
  }
}

/** Some of them are begun before they are asked for. */
class KeyMaker implements Makers {
  readonly #work: WorkFolder;
  readonly #end = new AbortController();
  readonly #signal: AbortSignal;
  /** By what was asked for; what has been handed out is not in it. */
  readonly #begun = new Map<string, Promise<SshKeyPair>[]>();

  constructor(work: WorkFolder, signal: AbortSignal) {
    this.#work = work;
    this.#signal = AbortSignal.any([signal, this.#end.signal]);
  }

  foresee(spec: SshKeySpec): void {
    const key = makeSshKey(spec, this.#work, this.#signal);
    // Whoever asks for it gets its failure; where nobody does, it is none.
    key.catch(() => {});
    this.#listOf(spec).push(key);
  }

  sshHostKey(spec: SshKeySpec): Promise<SshKeyPair> {
    return this.#listOf(spec).shift() ?? makeSshKey(spec, this.#work, this.#signal);
  }

  /** What nobody asked for is ended. */
  async close(): Promise<void> {
    this.#end.abort();
    await Promise.allSettled([...this.#begun.values()].flat());
  }

  #listOf(spec: SshKeySpec): Promise<SshKeyPair>[] {
    const name = JSON.stringify(spec);
    const list = this.#begun.get(name) ?? [];
    this.#begun.set(name, list);
    return list;
  }
}

async function makeSshKey(spec: SshKeySpec, work: WorkFolder, signal: AbortSignal): Promise<SshKeyPair> {
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  const tries = Array.from({ length: spec.type === 'rsa' ? RSA_TRIES : 1 }, () => tryKey(spec, work, either));
  try {
    return await Promise.any(tries);
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error;
  } finally {
    enough.abort();
    await Promise.allSettled(tries);
  }
}

async function tryKey(spec: SshKeySpec, work: WorkFolder, signal: AbortSignal): Promise<SshKeyPair> {
  const keygen = requireTool('ssh-keygen', 'openssh-client');
  const folder = await work.make('key');
  try {
    const path = join(folder, 'key');
    const bits = spec.bits === null ? [] : ['-b', String(spec.bits)];
    const args = ['-q', '-t', spec.type, ...bits, '-N', '', '-C', spec.comment, '-f', path];
    const result = await runTool(keygen, args, { timeoutMs: TIMEOUT_MS, signal });
    if (result.status !== 0) {
      throw new UnderstudyError('IDENTITY_FAILED', `ssh-keygen made no ${spec.type} key: ${result.stderr.trim()}`);
    }
    return { privateKey: await readFile(path, 'utf8'), publicKey: await readFile(`${path}.pub`, 'utf8') };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
