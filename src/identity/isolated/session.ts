// One life of the process that reads images: started, asked, and gone before anybody goes on. However it ends, and
// whatever it says, what comes of it here is an answer or an error of the registry.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, isErrorCode, UnderstudyError } from '../../base/mod.ts';
import { type GroupLimits, Reader, type ReaderImage } from '../../sandbox/mod.ts';
import { printable } from '../tree/mod.ts';
import { Lines, type Setting, type ToReader } from './protocol.ts';

const MIB = 1024 * 1024;
/** e2fsck may have four gigabytes, and the reader's own heap comes to it. */
const LIMITS: GroupLimits = { memoryBytesMax: 6 * 1024 * MIB, tasksMax: 512 };
/** All time-outs of one operation together stay below. */
const TIMEOUT_MS = 3 * 60 * 60_000;
/**
 * A text over which a rule broods holds up everything else in its process. Nothing that is well takes a tenth of it.
 */
const SILENCE_MS = 60_000;
/** What was told to stop gets so long to leave things in order. */
const STOP_MS = 30_000;
const STDERR_CHARS_MAX = 4096;
const MESSAGE_CHARS_MAX = 4000;

/**
 * The file that it runs is bundled: one is loaded faster than many. Found from sources, from what is compiled, and from
 * a bundle.
 */
const PLACES = ['../../../dist/run/isolated/main.js', '../../../run/isolated/main.js', '../isolated/main.js'];
export const program = fileURLToPath(
  PLACES.map((path) => new URL(path, import.meta.url)).find((url) => existsSync(url)) ??
    new URL('../isolated/main.js', import.meta.url),
);

export interface Bounds {
  readonly limits?: GroupLimits;
  readonly timeoutMs?: number;
  /** Longest time without a sign of life. */
  readonly silenceMs?: number;
}

export interface SessionOptions extends Bounds {
  readonly stateFolder: string;
  readonly images: readonly (ReaderImage & {
    readonly label: string;
    readonly key: string;
    readonly isFile: boolean;
  })[];
  readonly keepsRoot: boolean;
  readonly setting: Pick<Setting, 'formats' | 'kernelMount' | 'rules' | 'kept'>;
  readonly onStep: ((step: string) => void) | null;
  readonly signal: AbortSignal;
}

type Waiting = { readonly resolve: (answer: unknown) => void; readonly reject: (error: unknown) => void };

export class Session {
  readonly #reader: Reader;
  readonly #options: SessionOptions;
  readonly #timers: NodeJS.Timeout[] = [];
  #waiting: Waiting | null = null;
  #silence: NodeJS.Timeout | null = null;
  #stderr = '';
  /** Why it can answer nothing any more. */
  #failure: unknown = null;
  /** Why it was ended; null: it was not, by us. */
  #why: string | null = null;
  /** What a caller's own function threw: that goes to the caller as it is. */
  #thrown: { readonly error: unknown } | null = null;

  private constructor(reader: Reader, options: SessionOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  /** Starts it for as long as `use` asks. @throws what `use` throws; IDENTITY_FAILED, TOOL_MISSING, INTERRUPTED */
  static async during<T>(options: SessionOptions, use: (session: Session) => Promise<T>): Promise<T> {
    const { stateFolder, images, keepsRoot, limits = LIMITS, signal } = options;
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', 'reading the image was stopped');
    const reader = Reader.start({ program, stateFolder, images, keepsRoot, limits });
    const session = new Session(reader, options);
    const stop = (): void => session.#stop();
    signal.addEventListener('abort', stop);
    try {
      session.#listen();
      return await use(session);
    } finally {
      signal.removeEventListener('abort', stop);
      await session.#end();
    }
  }

  /** One at a time. @throws what the reader answers, or the reason why it has ended */
  ask(message: ToReader): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) return reject(this.#failure);
      this.#waiting = { resolve, reject };
      this.#say(message);
    });
  }

  #say(message: ToReader): void {
    this.#reader.child.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  #listen(): void {
    const { child, places } = this.#reader;
    const { setting, images, timeoutMs = TIMEOUT_MS, onStep } = this.#options;
    // It has gone then, and its end tells more.
    for (const pipe of [child.stdin, child.stdio[4]]) pipe?.on('error', () => {});
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARS_MAX);
    });
    const lines = new Lines();
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const whole = lines.add(text);
      if (whole === null) this.#kill('it said too much');
      for (const line of whole ?? []) this.#hear(line);
    });
    child.once('error', (error) => this.#fail(`it could not be started: ${error.message}`));
    child.once('close', (status, signal) => {
      void this.#reader.ended().then((exceeded) => this.#gone(exceeded, status, signal));
    });
    this.#timers.push(setTimeout(() => this.#kill(`it took longer than ${timeoutMs} ms`), timeoutMs));
    this.#heard();
    this.#say({
      ...setting,
      stateFolder: places.state,
      images: images.map(({ label, key, isFile }, index) => ({
        place: places.images[index] ?? '',
        label,
        key,
        isFile,
      })),
      path: places.path,
      asksSteps: onStep !== null,
    });
  }

  /** Begins to wait for the next sign of life. */
  #heard(): void {
    const { silenceMs = SILENCE_MS } = this.#options;
    if (this.#silence !== null) clearTimeout(this.#silence);
    const late = (): void =>
      this.#kill(`it did nothing else for ${silenceMs} ms than to look at one text of the image`);
    this.#silence = setTimeout(late, silenceMs);
  }

  #hear(line: string): void {
    this.#heard();
    let message: Partial<Record<'answer' | 'failed' | 'step' | 'alive', unknown>>;
    try {
      message = Object(JSON.parse(line)) as typeof message;
    } catch {
      this.#kill('it said what is not JSON');
      return;
    }
    if ('step' in message) this.#step(message.step);
    else if (!('alive' in message)) this.#answered(message);
  }

  #answered(message: { readonly answer?: unknown; readonly failed?: unknown }): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if ('failed' in message) waiting?.reject(this.#errorOf(message.failed));
    else waiting?.resolve(message.answer ?? null);
  }

  /** A sound answer to what it asks before each step; a caller that throws has it stop there. */
  #step(step: unknown): void {
    try {
      if (typeof step === 'string') this.#options.onStep?.(step);
      this.#reader.acknowledge(true);
    } catch (error) {
      this.#thrown = { error };
      this.#reader.acknowledge(false);
    }
  }

  #errorOf(failed: unknown): unknown {
    if (this.#thrown !== null) return this.#thrown.error;
    const { code, message } = Object(failed) as { code?: unknown; message?: unknown };
    const known: ErrorCode = typeof code === 'string' && isErrorCode(code) ? code : 'IDENTITY_FAILED';
    return new UnderstudyError(known, this.#named(typeof message === 'string' ? message : 'no reason was given'));
  }

  /** By the names that people know. */
  #named(text: string): string {
    const { images, state } = this.#reader.places;
    const labels = images.map((place, index) => [place, this.#options.images[index]?.label ?? ''] as const);
    const names = [...labels, [state, this.#options.stateFolder] as const];
    const named = names.reduce(
      (sofar, [place, name]) => sofar.replaceAll(place, name),
      text.slice(0, MESSAGE_CHARS_MAX),
    );
    return printable(named);
  }

  #stop(): void {
    this.#say({ abort: true });
    this.#timers.push(setTimeout(() => this.#reader.kill(), STOP_MS));
  }

  #kill(why: string): void {
    this.#why ??= why;
    this.#reader.kill();
  }

  #gone(exceeded: string | null, status: number | null, signal: string | null): void {
    const end = signal === null ? `it ended with status ${status}` : `${signal} ended it`;
    const said = this.#stderr.split('\n').filter((line) => line.trim() !== '');
    const last = said.length === 0 ? '' : `: ${said.slice(0, 3).join('; ').slice(0, 500)}`;
    const more = exceeded === null ? null : `it wanted more ${exceeded} than it may have`;
    this.#fail(this.#why ?? more ?? `${end}${this.#named(last)}`);
  }

  #fail(why: string): void {
    this.#failure ??= this.#failureFor(why);
    this.#waiting?.reject(this.#failure);
    this.#waiting = null;
  }

  #failureFor(why: string): unknown {
    if (this.#thrown !== null) return this.#thrown.error;
    const labels = this.#options.images.map(({ label }) => label).join(' and ');
    if (this.#options.signal.aborted) return new UnderstudyError('INTERRUPTED', `reading ${labels} was stopped`);
    if (/\block\b.*Is another process using/s.test(this.#stderr)) {
      const inUse = `${labels} is in use by another program: end that first, or copy the image`;
      return new UnderstudyError('IDENTITY_FAILED', inUse);
    }
    const advice = 'the image may be hostile or damaged; look at it on a machine of its own';
    const message = `the process that reads ${labels} did not finish: ${why}; ${advice}`;
    return new UnderstudyError('IDENTITY_FAILED', message);
  }

  /** It ends by itself when nobody can ask it any more. */
  async #end(): Promise<void> {
    this.#reader.child.stdin?.end();
    this.#timers.push(setTimeout(() => this.#reader.kill(), STOP_MS));
    await this.#reader.ended();
    if (this.#silence !== null) clearTimeout(this.#silence);
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
