// Records that no controller would write: damaged ones, of other versions, and references to what is not there. Drawn
// from a seed, and put into a store file past the store itself, as a damaged disk or another program would.
import { DatabaseSync } from '@photostructure/sqlite';
import type { Random } from '../../src/base/mod.ts';

export interface Poisoned {
  /** As it stands in the store afterwards. */
  readonly key: string;
  readonly what: string;
}

/** What becomes of a text; the value is given where it is an object. */
type Change = (text: string, random: Random) => string;

function asObject(text: string, change: (value: Record<string, unknown>, random: Random) => unknown): Change {
  return (_, random) => JSON.stringify(change(JSON.parse(text) as Record<string, unknown>, random));
}

/** Makes any record unusable, whatever its kind. */
export const damages: Readonly<Record<string, Change>> = {
  'cut off': (text, random) => text.slice(0, random.below(Math.max(1, text.length - 1))),
  'not JSON': () => '{"name": spare1}',
  null: () => 'null',
  'another type': (text) => (text.startsWith('[') ? '"text"' : '[1, 2, 3]'),
  'a number that JSON cannot say': () => '1e999x',
  'nested deeply': () => '['.repeat(100_000),
  'far too long': (text) => `${text}${' '.repeat(2 * 1024 * 1024)}`,
};

/** What makes a record of each kind unusable by its value alone. */
export const values: Readonly<
  Record<string, readonly (readonly [string, (value: Record<string, unknown>) => unknown])[]>
> = {
  engagement: [
    ['of a later version', (value) => ({ ...value, rehearsal: { takes: 3 } })],
    ['in a phase that there is not', (value) => ({ ...value, phase: 'rehearse' })],
    ['of a host that is not there', (value) => ({ ...value, understudy: 'ghost' })],
    ['of a service that is not there', (value) => ({ ...value, service: 'ghosts' })],
    ['of its own lead', (value) => ({ ...value, understudy: value.lead })],
    ['of a lead of another service', (value) => ({ ...value, understudy: 'web2', lead: 'web1', phase: 'fence' })],
    ['under a name that is not its own', (value) => ({ ...value, name: 'wiki-77' })],
    ['with a stage that is no object', (value) => ({ ...value, stages: [null] })],
    ['with a time that is none', (value) => ({ ...value, createdAt: 1e300 })],
    ['without an understudy', ({ understudy: _, ...value }) => value],
    ['with a name that is a number', (value) => ({ ...value, understudy: 7 })],
    ['with a prototype', (value) => ({ ...value, understudy: { toString: 1, valueOf: 1 } })],
  ],
  plan: [
    ['of another service', (value) => ({ ...value, service: 'shop' })],
    ['with an action that there is not', (value) => ({ ...value, action: 'explode' })],
  ],
  event: [['of a kind that there is not', (value) => ({ ...value, kind: 'rumour' })]],
  decision: [['with a date that is none', (value) => ({ ...value, lastAt: 'yesterday' })]],
  counter: [
    ['negative', () => -1],
    ['a text', () => 'seven'],
    ['a fraction', () => 1.5],
  ],
  learned: [['a list', () => [1]]],
  try: [['negative', (value) => ({ ...value, begun: -1 })]],
  epoch: [
    ['a text', () => 'high'],
    ['of no controller', () => 1_000_000],
  ],
  storage: [
    ['with a content that there is not', (value) => ({ ...value, content: { kind: 'elsewhere' } })],
    ['of a later version', (value) => ({ ...value, checkpoints: [] })],
  ],
};

export class PoisonedFile {
  readonly #database: InstanceType<typeof DatabaseSync>;

  /** @param path of a store that nobody has open */
  constructor(path: string) {
    this.#database = new DatabaseSync(path);
  }

  keys(): readonly string[] {
    const rows = this.#database.prepare('SELECT key FROM record WHERE text IS NOT NULL ORDER BY key').all();
    return (rows as { readonly key: string }[]).map(({ key }) => key);
  }

  text(key: string): string {
    const row = this.#database.prepare('SELECT text FROM record WHERE key = ?').get(key) as { readonly text: string };
    return row.text;
  }

  add(key: string, text: string): void {
    this.#database.exec('UPDATE counter SET revision = revision + 1');
    this.#database
      .prepare('INSERT INTO record (key, text, revision) SELECT ?, ?, revision FROM counter')
      .run(key, text);
  }

  write(key: string, text: string): void {
    this.#database.prepare('UPDATE record SET text = ? WHERE key = ?').run(text, key);
  }

  /** Damages a record in one of all ways. */
  poison(key: string, random: Random): Poisoned {
    const kind = key.slice(0, key.indexOf('/'));
    const byValue = values[kind] ?? [];
    const ways = Object.keys(damages).length + byValue.length + 2;
    const way = random.below(ways);
    const value = byValue[way];
    if (value !== undefined) {
      this.write(key, asObject(this.text(key), value[1])('', random));
      return { key, what: value[0] };
    }
    const damage = Object.entries(damages)[way - byValue.length];
    if (damage !== undefined) {
      this.write(key, damage[1](this.text(key), random));
      return { key, what: damage[0] };
    }
    return way === ways - 1 ? this.#revision(key, random) : this.#rename(key);
  }

  #revision(key: string, random: Random): Poisoned {
    const revisions = ['0', '9007199254740993', '9223372036854775807', `${-1 - random.below(1000)}`];
    const taken = this.#database.prepare('SELECT 1 FROM record WHERE revision = CAST(? AS INTEGER)');
    const free = revisions.filter((one) => taken.get(one) === undefined);
    const revision = free[random.below(free.length)] ?? '-5000';
    this.#database.exec(`UPDATE record SET revision = ${revision} WHERE key = '${key}'`);
    return { key, what: `of revision ${revision}` };
  }

  #rename(key: string): Poisoned {
    const other = `${key} \u001b[2J\u00e9`;
    this.#database.prepare('UPDATE record SET key = ? WHERE key = ?').run(other, key);
    return { key: other, what: 'under a key that is none' };
  }

  close(): void {
    this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.#database.close();
  }
}
