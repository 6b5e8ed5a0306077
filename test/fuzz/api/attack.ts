// The attack: so many requests of one seed, several clients at a time, and looks at the process in between.
import { join } from 'node:path';
import { messageOf } from '../../../src/base/mod.ts';
import { patience } from '../../rig/patience.ts';
import { Finding, holds, type Tally } from '../fuzz.ts';
import { judge } from './judge.ts';
import { requestOf, type Table } from './requests.ts';
import type { Subject } from './subject.ts';
import { exchange } from './wire.ts';

const WANTED = process.env.UNDERSTUDY_API_SEED ?? '20';
export const SEED = WANTED === 'new' ? Date.now() % 1_000_000 : Number(WANTED);
export const REQUESTS = Number(process.env.UNDERSTUDY_API_REQUESTS ?? 4000);
/** The one number to try, that a finding names. */
const ONLY = process.env.UNDERSTUDY_API_REQUEST;

/** For the time-out of a test: what is asked for takes as long as it takes. */
export const ATTACK_MS_MAX = REQUESTS > 4000 ? 2 ** 31 - 1 : patience(180_000);

const CLIENTS = 12;
const LOOK_EVERY = 250;
/** Beyond what it had after its first thousand requests. */
const GROWN_BYTES_MAX = 256 * 1024 * 1024;
const WARM = 1000;

/** So many requests; what they came to. @throws Finding */
export async function attack(subject: Subject, requests: number, seed = SEED): Promise<Tally> {
  const table = await subject.table();
  const wanted = await subject.status();
  const { tokens, folder } = subject;
  const rules = { secrets: [...Object.values(tokens), folder], configuration: join(folder, 'understudy.yaml') };
  const tally = new Map<string, number>();
  let [next, sent, warmBytes] = [ONLY === undefined ? 0 : Number(ONLY), 0, Number.POSITIVE_INFINITY];
  let looked = 0;
  const look = async (): Promise<void> => {
    subject.checkAlive();
    const now = await subject.status();
    holds(now === wanted, () => `the status is ${now}, and was ${wanted}`);
    const bytes = subject.memoryBytes();
    if (sent >= WARM) warmBytes = Math.min(warmBytes, bytes);
    holds(bytes < warmBytes + GROWN_BYTES_MAX, () => `it has ${bytes} bytes of memory, and had ${warmBytes}`);
  };
  const play = async (client: number): Promise<void> => {
    while (sent < requests) {
      const index = next++;
      const request = requestOf(table, index, seed);
      sent += ONLY === undefined ? request.count : requests;
      const place = `UNDERSTUDY_API_SEED=${seed} UNDERSTUDY_API_REQUEST=${index}`;
      try {
        const reply = await exchange({ port: subject.port, client: client + index * CLIENTS }, request);
        for (const word of judge(rules, request, reply)) tally.set(word, (tally.get(word) ?? 0) + 1);
        if (Math.floor(sent / LOOK_EVERY) > looked) {
          looked = Math.floor(sent / LOOK_EVERY);
          await look();
        }
      } catch (error) {
        subject.checkAlive();
        throw error instanceof Finding ? new Finding(`${error.message} (${place})`) : unexpected(error, place);
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: CLIENTS }, (_, client) => play(client)));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  await look();
  process.stderr.write(`api: ${sent} requests of seed ${seed}: ${shown(tally, table)}\n`);
  return tally;
}

function unexpected(error: unknown, place: string): Finding {
  return new Finding(`${messageOf(error)} (${place})`, { cause: error });
}

function shown(tally: Tally, { routes }: Table): string {
  const counts = [...tally].sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${count}`);
  return `${counts.join(', ')}; ${routes.length} routes`;
}
