// Whether the sandbox of readers can be made here, for doctor: a whole one, with a program that says that it runs.
import { messageOf } from '../base/mod.ts';
import { Reader } from './reader.ts';

const LIMITS = { memoryBytesMax: 1024 ** 3, tasksMax: 128 };
const TIMEOUT_MS = 30_000;
const STDERR_CHARS_MAX = 500;

export interface Trial {
  readonly boundedBy: Reader['boundBy'];
  /** null: it runs. */
  readonly failure: string | null;
}

/** @param program a JavaScript file that ends with status 0 when its standard input ends */
export async function trialReader(program: string): Promise<Trial> {
  try {
    const reader = Reader.start({ program, stateFolder: null, images: [], keepsRoot: false, limits: LIMITS });
    let stderr = '';
    reader.child.stderr?.on('data', (bytes: Buffer) => {
      stderr = (stderr + bytes.toString()).slice(0, STDERR_CHARS_MAX);
    });
    reader.child.stdin?.on('error', () => {});
    reader.child.stdin?.end();
    const timer = setTimeout(() => reader.kill(), TIMEOUT_MS);
    await reader.ended();
    clearTimeout(timer);
    const isWell = reader.child.exitCode === 0;
    return {
      boundedBy: reader.boundBy,
      failure: isWell ? null : `no sandbox for images: ${stderr.trim() || 'no reason'}`,
    };
  } catch (error) {
    return { boundedBy: 'watchdog', failure: messageOf(error) };
  }
}
