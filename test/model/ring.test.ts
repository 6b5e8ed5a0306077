// Goal: the ring's protocol holds in every interleaving of its steps, also with a process killed at any of them.
// Method: ring.pml and rendezvous.pml are searched exhaustively for small rings, and searched again with one defect
// planted at a time, which must be found: a model that cannot fail proves nothing. `npm test` makes the same third of the
// searches each time, so that one commit has one result: one for each thing that must hold and each kind of death. Whoever
// changes a model or the protocol makes all of them: `npm run proof:model`.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as layout from '../../src/replication/ring/layout.ts';
import { patience } from '../rig/patience.ts';
import { search, verdictOf } from './spin.ts';

const TIMEOUT_MS = patience(600_000);
const ring = fileURLToPath(new URL('./ring.pml', import.meta.url));
const rendezvous = fileURLToPath(new URL('./rendezvous.pml', import.meta.url));

const ONE_COPY_DIES = ['COPY_DEATHS=1'];
const PRODUCER_DIES = ['PRODUCER_DEATHS=1'];

/** What must hold: [behaviour, model, defines]. */
const proofs: readonly [string, string, readonly string[]][] = [
  ['two copies, image larger than the ring: one read of each block', ring, ['READINGS_MAX=1']],
  ['image smaller than the ring: one read of each block', ring, ['BLOCKS=2', 'SLOTS=4', 'READINGS_MAX=1']],
  ['three copies', ring, ['COPIES=3', 'BLOCKS=2', 'SLOTS=1', 'READINGS_MAX=1', 'TIMEOUTS=1']],
  ['late joiner: at most one more read of each block', ring, ['QUORUM=1', 'READINGS_MAX=2']],
  ['late joiner that follows a moving tail loses nothing', ring, ['QUORUM=1', 'BLOCKS=2', 'ATTACH_LOOPS']],
  ['row of the table passes from one copy to another', ring, ['ENTRIES=1', 'RECLAIM=1', 'QUORUM=1']],
  ['producer goes one block ahead: one read of each block', ring, ['AHEAD=1', 'READINGS_MAX=1']],
  ['producer goes one block ahead, late joiner', ring, ['AHEAD=1', 'QUORUM=1', 'READINGS_MAX=2']],
  ['producer goes one block ahead, slow copy is detached', ring, ['AHEAD=1', 'DETACHMENTS=1', 'QUORUM=1']],
  ['slow copies are detached twice', ring, ['DETACHMENTS=2']],
  ['slow copy is detached, the other is late', ring, ['DETACHMENTS=1', 'QUORUM=1']],
  ['slow copies are detached twice, waits end at any time', ring, ['DETACHMENTS=2', 'QUORUM=1', 'TIMEOUTS=1']],
  ['copy dies, waits end at any time', ring, [...ONE_COPY_DIES, 'TIMEOUTS=1']],
  ['copy dies: one round of time-outs mends it', ring, [...ONE_COPY_DIES, 'TICKS=1', 'BLOCKS=2']],
  ['producer dies twice: nothing published is read again', ring, ['PRODUCER_DEATHS=2', 'TIMEOUTS=1', 'READINGS_MAX=1']],
  ['producer dies: one round of time-outs mends it', ring, [...PRODUCER_DIES, 'TICKS=1', 'READINGS_MAX=1']],
  ['producer and copy die', ring, [...PRODUCER_DIES, ...ONE_COPY_DIES, 'TIMEOUTS=1', 'BLOCKS=2']],
  ['producer dies, copy is detached', ring, [...PRODUCER_DIES, 'DETACHMENTS=1', 'TIMEOUTS=1']],
  ['two copies find no producer; joining races the removal of the ring', rendezvous, []],
  ['meeting, a copy dies', rendezvous, [...ONE_COPY_DIES, 'TIMEOUTS=1']],
  ['meeting, the producer dies: the last to leave removes the ring', rendezvous, [...PRODUCER_DIES, 'TIMEOUTS=1']],
  ['meeting, producer and copy die', rendezvous, [...PRODUCER_DIES, ...ONE_COPY_DIES, 'TIMEOUTS=1']],
  ['meeting, the source fails', rendezvous, ['FAILURES=1']],
  ['meeting, the source fails and the producer dies', rendezvous, ['FAILURES=1', ...PRODUCER_DIES, 'TIMEOUTS=1']],
];

/** Configurations in which no run may go on for ever. */
const terminations: readonly [string, readonly string[]][] = [
  ['two copies', []],
  ['late joiner', ['QUORUM=1', 'BLOCKS=2']],
  ['slow copy is detached', ['DETACHMENTS=1']],
  ['producer goes one block ahead', ['AHEAD=1']],
  ['copy dies', [...ONE_COPY_DIES, 'TICKS=1', 'BLOCKS=1']],
  ['producer dies', [...PRODUCER_DIES, 'TICKS=1', 'BLOCKS=1']],
];

const SECOND_READ = /readings/;
const BAD_BYTES = /content==b|stale/;
const SLEEPS_ON = /invalid end state/;

/** What must be found: [defect, model, defines, finding]. */
const defects: readonly [string, string, readonly string[], RegExp][] = [
  ['tail stored after looking at the consumers', ring, ['CANARY_TAIL_AFTER_LOOK', 'QUORUM=1'], BAD_BYTES],
  ['no second look at tail when attaching', ring, ['CANARY_ATTACH_WITHOUT_SECOND_LOOK', 'QUORUM=1'], BAD_BYTES],
  ['attaching follows a moving tail', ring, ['ATTACH_LOOPS', 'QUORUM=1', 'READINGS_MAX=2'], SECOND_READ],
  ['bit cleared before the write has ended', ring, ['CANARY_BIT_BEFORE_WRITE', 'DETACHMENTS=1'], BAD_BYTES],
  ['cursor moved before the bit is cleared', ring, ['CANARY_CURSOR_BEFORE_BIT', 'READINGS_MAX=1'], SECOND_READ],
  ['need-bit read before the cursor', ring, ['CANARY_NEED_BEFORE_CURSOR', 'READINGS_MAX=1'], SECOND_READ],
  ['state not looked at after the write', ring, ['CANARY_STATE_NOT_LOOKED_AT', 'DETACHMENTS=1'], BAD_BYTES],
  ['bytes looked at after the state', ring, ['CANARY_OBSERVED_AFTER_LOOK', 'DETACHMENTS=1'], BAD_BYTES],
  ['sequence of a slot entry read first', ring, ['CANARY_SEQUENCE_READ_FIRST', 'DETACHMENTS=1'], BAD_BYTES],
  ['tail not looked at after copying', ring, ['CANARY_TAIL_NOT_LOOKED_AT', 'DETACHMENTS=1', 'QUORUM=1'], BAD_BYTES],
  ['sleep on head without its value', ring, ['CANARY_SLEEP_WITHOUT_LOOK'], SLEEPS_ON],
  ['sleep on the bell without its value', ring, ['CANARY_WAKE_WITHOUT_RECHECK'], SLEEPS_ON],
  ['bell without a wake-up', ring, ['CANARY_BELL_WITHOUT_WAKE'], SLEEPS_ON],
  ['bell without a wake-up, producer far ahead', ring, ['CANARY_BELL_WITHOUT_WAKE', 'AHEAD=1', 'SLOTS=4'], SLEEPS_ON],
  ['bell rung before interest is given up', ring, ['CANARY_BELL_BEFORE_INTEREST'], SLEEPS_ON],
  [
    'detaching for the sake of a copy that is complete',
    ring,
    ['DETACH_FOR_NOBODY', 'DETACHMENTS=1', 'QUORUM=1'],
    SLEEPS_ON,
  ],
  ['detached copy that sleeps on head', ring, ['DETACHED_WAITS', 'DETACHMENTS=1'], SLEEPS_ON],
  [
    'row of a dead copy freed without its lock',
    ring,
    ['CANARY_RECLAIM_WITHOUT_LOCK', 'ENTRIES=1', 'RECLAIM=1', 'QUORUM=1'],
    SLEEPS_ON,
  ],
  [
    'new producer does not rebuild from the slot table',
    ring,
    ['CANARY_NO_REBUILD', ...PRODUCER_DIES, 'TIMEOUTS=1', 'READINGS_MAX=1'],
    SECOND_READ,
  ],
  ['interest taken after the rendezvous', rendezvous, ['CANARY_INTEREST_AFTER_RENDEZVOUS'], /interest/],
  ['producer asked for before interest', rendezvous, ['CANARY_PRODUCER_ASKED_FIRST'], /interest/],
  [
    'bell rung before interest is given up, and no last look',
    rendezvous,
    ['CANARY_BELL_BEFORE_INTEREST', 'CANARY_LAST_ONE_LEAVES_THE_FILE'],
    SLEEPS_ON,
  ],
  [
    'last copy leaves the file of a dead producer',
    rendezvous,
    ['CANARY_LAST_ONE_LEAVES_THE_FILE', ...PRODUCER_DIES, 'TIMEOUTS=1'],
    /path==0/,
  ],
  [
    'last look does not wait for the rendezvous',
    rendezvous,
    ['CANARY_LAST_LOOK_WITHOUT_WAITING', ...PRODUCER_DIES, 'TIMEOUTS=1'],
    /path==0/,
  ],
  [
    'failed ring unlinked without the rendezvous',
    rendezvous,
    ['CANARY_REMOVE_WITHOUT_RENDEZVOUS', 'FAILURES=1'],
    /path==\(at\+1\)/,
  ],
  [
    'new producer begins on a failed ring',
    rendezvous,
    ['CANARY_PRODUCER_OF_A_FAILED_RING', 'FAILURES=1', 'TIMEOUTS=1'],
    /header\[at\]\.state/,
  ],
];

/** What `npm test` searches. */
const inEachRun: ReadonlySet<string> = new Set([
  // What must hold.
  'two copies, image larger than the ring: one read of each block',
  'late joiner: at most one more read of each block',
  'row of the table passes from one copy to another',
  'producer goes one block ahead, slow copy is detached',
  'copy dies: one round of time-outs mends it',
  'producer dies twice: nothing published is read again',
  'two copies find no producer; joining races the removal of the ring',
  'meeting, producer and copy die',
  // What must end.
  'late joiner',
  'producer dies',
  // What must be found: one defect against each of the orders that the protocol rests on.
  'tail stored after looking at the consumers',
  'no second look at tail when attaching',
  'bit cleared before the write has ended',
  'cursor moved before the bit is cleared',
  'state not looked at after the write',
  'bell without a wake-up',
  'new producer does not rebuild from the slot table',
  'interest taken after the rendezvous',
  'last copy leaves the file of a dead producer',
]);
const isWhole = process.env.UNDERSTUDY_MODEL === 'all';

process.stdout.write(`model: ${isWhole ? 'all searches' : 'the searches of each run'}\n`);

function chosen<T extends readonly [string, ...unknown[]]>(searches: readonly T[]): readonly T[] {
  return isWhole ? searches : searches.filter(([name]) => inEachRun.has(name));
}

describe.concurrent('ring model - holds in every interleaving', () => {
  it.each(chosen(proofs))('%s', { timeout: TIMEOUT_MS }, async (_name, model, defines) => {
    const verdict = await search({ model, defines, look: 'safety' });
    expect(verdict.errors, verdict.output).toBe(0);
    expect(verdict.complete, verdict.output).toBe(true);
    expect(verdict.states).toBeGreaterThan(1000);
  });
});

describe.concurrent('ring model - ends, whatever the scheduler does', () => {
  it.each(chosen(terminations))('%s', { timeout: TIMEOUT_MS }, async (_name, defines) => {
    const verdict = await search({ model: ring, defines, look: 'termination' });
    expect(verdict.errors, verdict.output).toBe(0);
    expect(verdict.complete, verdict.output).toBe(true);
  });
});

describe.concurrent('ring model - finds a planted defect', () => {
  it('the searches of each run are among all, and have each a name of their own', () => {
    const names = [...proofs, ...terminations, ...defects].map(([name]) => name);
    expect(new Set(names).size).toBe(names.length);
    expect([...inEachRun].filter((name) => !names.includes(name))).toEqual([]);
  });

  it.each(chosen(defects))('%s', { timeout: TIMEOUT_MS }, async (_name, model, defines, finding) => {
    const verdict = await search({ model, defines, look: 'safety', brief: true });
    expect(verdict.errors, verdict.output).toBe(1);
    expect(verdict.finding).toMatch(finding);
  });
});

describe('ring model - is about the ring that there is', () => {
  const sources = [ring, rendezvous].map((path) => [path.replace(/.*\//, ''), readFileSync(path, 'utf8')] as const);
  const tables: Readonly<Record<string, object>> = {
    Header: layout.Header,
    Entry: layout.Entry,
    Slot: layout.Slot,
    LockByte: layout.LockByte,
    RingState: layout.RingState,
    ConsumerState: layout.ConsumerState,
  };

  it.each(sources)('%s: every field of a typedef is a word or lock byte of the layout', (_name, text) => {
    const typedefs = [...text.matchAll(/typedef (\w+) \{(.*?)\}/gs)];
    expect(typedefs.length).toBeGreaterThan(1);
    for (const [, name = '', body = ''] of typedefs) {
      const fields = [...body.matchAll(/^\s*(?:bit|byte) (\w+)/gm)].map((match) => match[1] ?? '');
      expect(fields.length).toBeGreaterThan(0);
      for (const field of fields) expect(Object.keys(tables[name] ?? {}), name).toContain(field);
    }
  });

  it.each(sources)('%s: every state has the value that the layout gives it', (_name, text) => {
    const states = [...text.matchAll(/^#define (RingState|ConsumerState)_(\w+) (\d+)$/gm)];
    expect(states.length).toBeGreaterThan(2);
    for (const [, table = '', state = '', value] of states) {
      expect(Object.entries(tables[table] ?? {})).toContainEqual([state, Number(value)]);
    }
  });

  it('every planted defect of the models is among those searched for', () => {
    const inModels = sources.flatMap(([, text]) =>
      [...text.matchAll(/^#ifn?def (CANARY_\w+)/gm)].map((match) => match[1]),
    );
    const searched = new Set(defects.flatMap(([, , defines]) => defines));
    expect([...new Set(inModels)].filter((name) => name === undefined || !searched.has(name))).toEqual([]);
  });
});

describe('ring model - reads the verdict', () => {
  it('an unfinished search is not complete', () => {
    expect(verdictOf('Warning: Search not completed\nState-vector 8 byte, errors: 0').complete).toBe(false);
    expect(verdictOf('error: max search depth too small\nerrors: 0').complete).toBe(false);
    expect(verdictOf('pan: reached -DMEMLIM bound').complete).toBe(false);
  });
});
