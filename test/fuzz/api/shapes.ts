// Bodies out of the schemas of the OpenAPI description: valid ones, and what a hostile client makes of them.
import type { Random } from '../../../src/base/mod.ts';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly format?: string;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly propertyNames?: Schema;
  readonly minimum?: number;
  readonly maxItems?: number;
}

export type Schemas = Readonly<Record<string, Schema>>;
type Json = unknown;

export function pick<T>(list: readonly T[], random: Random): T {
  const one = list[random.below(list.length)];
  if (one === undefined) throw new Error('picked from nothing');
  return one;
}

/** Names of nothing, so that no order that is valid begins anything. */
export const NOBODY = ['nobody', 'wiki-99', 'p-1', 'Web1', 'x'.repeat(63), '0.0', '-_.', 'toString', 'constructor'];
const TEXTS = ['probe.milliseconds', 'cpu.pressure', '0123456789abcdef0123456789abcdef', '2026-11-24T10:00:00.000Z'];

/** A value that the schema takes. */
export function made(schema: Schema, schemas: Schemas, random: Random): Json {
  const { $ref, anyOf, oneOf } = schema;
  if ($ref !== undefined) return made(schemas[$ref.slice($ref.lastIndexOf('/') + 1)] ?? {}, schemas, random);
  const choices = anyOf ?? oneOf;
  if (choices !== undefined) return made(pick(choices, random), schemas, random);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return pick(schema.enum, random);
  const type = typeof schema.type === 'object' ? pick(schema.type, random) : schema.type;
  switch (type) {
    case 'object':
      return objectOf(schema, schemas, random);
    case 'array':
      return Array.from({ length: random.below(Math.min(schema.maxItems ?? 3, 3) + 1) }, () =>
        made(schema.items ?? {}, schemas, random),
      );
    case 'string':
      return textOf(schema, random);
    case 'integer':
      return Math.max(schema.minimum ?? 0, random.below(1000));
    case 'number':
      return Math.max(schema.minimum ?? 0, random.below(100_000) / 100);
    case 'boolean':
      return random.below(2) === 0;
    default:
      return null;
  }
}

function textOf({ pattern }: Schema, random: Random): string {
  const known = [...NOBODY, ...TEXTS];
  const form = pattern === undefined ? null : new RegExp(pattern);
  const fitting = known.filter((text) => form === null || form.test(text));
  return fitting.length === 0 ? '' : pick(fitting, random);
}

function objectOf(schema: Schema, schemas: Schemas, random: Random): Json {
  const { properties = {}, required = [], additionalProperties } = schema;
  const value: Record<string, Json> = {};
  for (const [name, inner] of Object.entries(properties)) {
    if (required.includes(name) || random.below(2) === 0) value[name] = made(inner, schemas, random);
  }
  if (typeof additionalProperties === 'object') {
    for (let more = random.below(4); more > 0; more -= 1) {
      value[textOf(schema.propertyNames ?? {}, random)] = made(additionalProperties, schemas, random);
    }
  }
  return value;
}

/** Names that every object of JavaScript has, or that mean something to libraries. */
const PROTOTYPE = ['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty', 'toJSON', 'then'];

function nested(depth: number, random: Random): Json {
  let value: Json = 1;
  const inList = random.below(2) === 0;
  for (let level = 0; level < depth; level += 1) value = inList ? [value] : { a: value };
  return value;
}

/** An object with these keys of its own, whatever they are called. */
function withKeys(keys: readonly string[], value: Json): Json {
  return Object.fromEntries(keys.map((key) => [key, value]));
}

function hostile(random: Random): Json {
  const makers: readonly (() => Json)[] = [
    () => pick([null, true, false, -1, 0, 1e308, -1e308, 2 ** 53, 0.1, '', ' ', [], {}], random),
    () => pick(['\ud800', '\u0000', '\u001b[2J', '\u2028', 'a\r\nb: c', '../../etc/passwd', '%00', '\ufeff'], random),
    () => 'x'.repeat(pick([64, 201, 5000, 17_000, 300_000], random)),
    () => nested(pick([3, 50, 1000, 4000], random), random),
    () => withKeys(['toString', 'valueOf'], 1),
    () => withKeys([pick(PROTOTYPE, random)], pick<Json>([1, null, {}, { polluted: true }], random)),
    () => withKeys(['constructor'], withKeys(['prototype'], { polluted: true })),
    () =>
      withKeys(
        Array.from({ length: pick([40, 2000], random) }, (_, index) => `k${index}`),
        0,
      ),
    () => Array.from({ length: pick([33, 500, 3000], random) }, () => random.below(9)),
  ];
  return pick(makers, random)();
}

/** A copy in which one place is other than it should be. */
export function damaged(value: Json, random: Random): Json {
  if (random.below(5) === 0 || typeof value !== 'object' || value === null) return hostile(random);
  if (Array.isArray(value)) {
    if (value.length === 0) return [hostile(random)];
    const at = random.below(value.length);
    return value.map((one, index) => (index === at ? damaged(one, random) : one));
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return { [pick(PROTOTYPE, random)]: hostile(random) };
  const at = random.below(entries.length);
  switch (random.below(5)) {
    case 0:
      return Object.fromEntries(entries.filter((_, index) => index !== at));
    case 1:
      return Object.fromEntries([...entries, [pick(PROTOTYPE, random), hostile(random)]]);
    case 2:
      return Object.fromEntries(
        entries.map(([key, one], index) => [index === at ? pick(PROTOTYPE, random) : key, one]),
      );
    default:
      return Object.fromEntries(entries.map(([key, one], index) => [key, index === at ? damaged(one, random) : one]));
  }
}

/** JSON that is not quite that: cut off, with a key twice, numbers beyond all, bytes that are not UTF-8. */
export function damagedText(text: string, random: Random): Buffer {
  const bytes = Buffer.from(text);
  const at = random.below(bytes.length + 1);
  switch (random.below(9)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff, 0xc0, 0x80, 0xed, 0xa0]), bytes.subarray(at)]);
    case 2:
      return Buffer.from(
        text.replace(/\d+/, () => pick(['1e999', '-1e999', '00', '0x1', 'NaN', '9'.repeat(400)], random)),
      );
    case 3:
      return Buffer.from(text.replace('{', `{"${pick(PROTOTYPE, random)}":{"a":1},`));
    case 4:
      return Buffer.from(text.replace('{', '{"host":"nobody","host":"web1",'));
    case 5:
      return Buffer.from(`\ufeff${text}`);
    case 6:
      return Buffer.from(`${'['.repeat(pick([100, 8000], random))}${text}`);
    case 7:
      return Buffer.from(text.replaceAll('"', "'"));
    default:
      bytes[Math.min(at, bytes.length - 1)] = random.below(256);
      return bytes;
  }
}
