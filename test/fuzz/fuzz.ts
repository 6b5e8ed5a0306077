// The fuzzer: damaged inputs in a row from one seed, each given to a reader that judges it against what always has to hold.
// Every input follows from the seed and its number alone, so a finding names both.
import { codeOf, isErrorCode, type Random, seededRandom } from '../../src/base/mod.ts';
import { patience } from '../rig/patience.ts';
import { mutate, type Repair, type Seed } from './mutate.ts';

/** Something that must never be. */
export class Finding extends Error {}

export interface Case {
  readonly bytes: Uint8Array;
  readonly seed: Seed;
  /** The bytes are those of the seed. */
  readonly whole: boolean;
  readonly random: Random;
}

export interface Reader {
  readonly name: string;
  readonly seeds: readonly Seed[];
  readonly repair: Repair | null;
  /** What became of the input: `accepted`, or the code of the error that it was refused with. @throws Finding */
  judge(input: Case): string | Promise<string>;
  /** What has to be reached, or the inputs prove nothing. */
  readonly classes: readonly string[];
  /** What a good input may reach. @default accepted */
  readonly good?: readonly string[];
}

export type Tally = ReadonlyMap<string, number>;

const WANTED = process.env.UNDERSTUDY_FUZZ_SEED ?? '20';
export const SEED = WANTED === 'new' ? Date.now() % 1_000_000 : Number(WANTED);
/** For readers in this process, each. */
export const INPUTS = Number(process.env.UNDERSTUDY_FUZZ_INPUTS ?? 10_000);
/** For readers that start a program, each. */
export const PROGRAM_INPUTS = Number(process.env.UNDERSTUDY_FUZZ_PROGRAM_INPUTS ?? 100);
/** The one input to try, of the number that a finding names. */
const ONLY = process.env.UNDERSTUDY_FUZZ_INPUT;

/** For the time-out of a test: what is asked for takes as long as it takes. */
export const FUZZ_MS_MAX = INPUTS > 10_000 || PROGRAM_INPUTS > 100 ? 2 ** 31 - 1 : patience(120_000);

export function caseOf(reader: Reader, index: number, seed = SEED): Case {
  // Numbers beside each other give sequences that have nothing in common.
  const random = seededRandom(Math.imul(seed + 1, 0x9e37_79b1) ^ Math.imul(index + 1, 0x85eb_ca6b));
  const { seed: from, bytes } = mutate(reader.seeds, reader.repair, random);
  const whole = bytes.byteLength === from.bytes.byteLength && Buffer.compare(bytes, from.bytes) === 0;
  return { bytes, seed: from, whole, random };
}

/** Several inputs at a time where most of the time is waiting for programs. @throws Finding */
export async function fuzz(reader: Reader, inputs: number, atOnce = 1): Promise<Tally> {
  const tally = new Map<string, number>();
  const first = ONLY === undefined ? 0 : Number(ONLY);
  const end = ONLY === undefined ? inputs : first + 1;
  let next = first;
  const play = async (): Promise<void> => {
    for (let index = next++; index < end; index = next++) {
      const input = caseOf(reader, index);
      const reached = await judged(reader, input, index);
      const good = !input.whole || (reader.good ?? ['accepted']).includes(reached);
      if (!good) throw finding(reader, input, index, `refused a good one: ${reached}`);
      tally.set(reached, (tally.get(reached) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, play));
  const shown = [...tally].sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${count}`);
  process.stderr.write(`fuzz ${reader.name}: ${end - first} inputs of seed ${SEED}: ${shown.join(', ')}\n`);
  return tally;
}

async function judged(reader: Reader, input: Case, index: number): Promise<string> {
  try {
    const verdict = reader.judge(input);
    return typeof verdict === 'string' ? verdict : await verdict;
  } catch (error) {
    throw finding(reader, input, index, error instanceof Finding ? error.message : `threw ${stackOf(error)}`);
  }
}

const SHOWN_BYTES = 2048;

function finding(reader: Reader, { bytes, seed }: Case, index: number, what: string): Finding {
  const shown = Buffer.from(bytes.subarray(0, SHOWN_BYTES)).toString('base64');
  const place = `UNDERSTUDY_FUZZ_SEED=${SEED} UNDERSTUDY_FUZZ_INPUT=${index}`;
  return new Finding(`${reader.name}, from ${seed.name} (${place}): ${what}\n${bytes.byteLength} bytes: ${shown}`);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** What an action came to: a value, or the code of an error of the registry. Any other error is a finding. */
export type Outcome<T> = { readonly value: T; readonly code: null } | { readonly value: null; readonly code: string };

export function outcomeOf<T>(action: () => T, allowed: readonly string[]): Outcome<T> {
  try {
    return { value: action(), code: null };
  } catch (error) {
    return { value: null, code: allowedCode(error, allowed) };
  }
}

export async function outcomeOfAsync<T>(action: () => Promise<T>, allowed: readonly string[]): Promise<Outcome<T>> {
  try {
    return { value: await action(), code: null };
  } catch (error) {
    return { value: null, code: allowedCode(error, allowed) };
  }
}

function allowedCode(error: unknown, allowed: readonly string[]): string {
  if (error instanceof Finding) throw error;
  const code = codeOf(error);
  if (code !== null && isErrorCode(code) && allowed.includes(code)) return code;
  throw new Finding(`failed with ${code ?? 'no code'}: ${stackOf(error)}`);
}

export const REFUSED = ['SOURCE_CORRUPT', 'FORMAT_UNKNOWN', 'SOURCE_EMPTY'] as const;

/** Holds a condition of the judgement. @throws Finding */
export function holds(condition: boolean, what: () => string): void {
  if (!condition) throw new Finding(what());
}
