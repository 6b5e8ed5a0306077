// What a zod schema is made of: which entries an object has, which values are paths, and what of a wrong value is still right.
import { resolve } from 'node:path';
import * as z from 'zod';
import type { Path } from './problem.ts';

type Schema = z.core.$ZodType;

/** The schema below one that only changes or completes it: optional, default, transformation; null for others. */
function below(schema: Schema): Schema | null {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return def.innerType;
    case 'pipe':
      return def.in;
    default:
      return null;
  }
}

function core(schema: Schema): Schema {
  const inner = below(schema);
  return inner === null ? schema : core(inner);
}

/** What a schema says of itself, or one below it. */
function metaOf(schema: Schema, name: 'format' | 'examples'): unknown {
  const own = z.globalRegistry.get(schema)?.[name];
  if (own !== undefined) return own;
  const inner = below(schema);
  if (inner !== null) return metaOf(inner, name);
  const { def } = (schema as z.core.$ZodTypes)._zod;
  if (def.type !== 'union') return undefined;
  return def.options.map((option) => metaOf(option, name)).find((value) => value !== undefined);
}

/** What a value may be: one schema, or those of a union. */
function choices(schema: Schema): readonly z.core.$ZodTypes[] {
  const inner = core(schema) as z.core.$ZodTypes;
  return inner._zod.def.type === 'union' ? inner._zod.def.options.flatMap(choices) : [inner];
}

function keysOf(schema: Schema): readonly string[] {
  return choices(schema).flatMap(({ _zod: { def } }) => (def.type === 'object' ? Object.keys(def.shape) : []));
}

/** Of an entry of an object, record or array. */
function childOf(schema: Schema, part: string | number): Schema | null {
  for (const { _zod } of choices(schema)) {
    const { def } = _zod;
    if (def.type === 'object' && Object.hasOwn(def.shape, part)) return def.shape[part] ?? null;
    if (def.type === 'record') return def.valueType;
    if (def.type === 'array') return def.element;
  }
  return null;
}

/** Names of the entries that an object may have at this place; none where it is no object with fixed entries. */
export function knownKeys(schema: Schema, path: Path): readonly string[] {
  let at: Schema | null = schema;
  for (const part of path) at = at === null ? null : childOf(at, part);
  return at === null ? [] : keysOf(at);
}

/** How a value at this place may be written, for whoever wrote another kind of value; null when nothing is said of it. */
export function exampleAt(schema: Schema, path: Path): string | null {
  let at: Schema | null = schema;
  for (const part of path) at = at === null ? null : childOf(at, part);
  const examples = at === null ? undefined : metaOf(at, 'examples');
  return Array.isArray(examples) && typeof examples[0] === 'string' ? examples[0] : null;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value that a schema gives, or as much of it as is right: wrong entries are left out. */
export function salvage(schema: Schema, value: unknown): unknown {
  const whole = z.safeParse(schema, value);
  if (whole.success) return whole.data;
  const wanted = new Set(choices(schema).map(({ _zod }) => _zod.def.type));
  if (Array.isArray(value)) {
    const element = wanted.has('array') ? childOf(schema, 0) : null;
    return element === null ? undefined : value.map((item) => salvage(element, item));
  }
  if (!isRecord(value) || !(wanted.has('object') || wanted.has('record'))) return undefined;
  const names = new Set([...keysOf(schema), ...Object.keys(value)]);
  const entries = [...names].flatMap((name) => {
    const child = childOf(schema, name);
    const entry = child === null ? undefined : salvage(child, value[name]);
    return entry === undefined ? [] : [[name, entry] as const];
  });
  return Object.fromEntries(entries);
}

/** The value with every path in it absolute, taken from a folder. Paths are strings with the format "path". */
export function resolvePaths(schema: Schema, value: unknown, folder: string): unknown {
  if (typeof value === 'string') return metaOf(schema, 'format') === 'path' ? resolve(folder, value) : value;
  if (Array.isArray(value)) {
    const element = childOf(schema, 0);
    return element === null ? value : value.map((item) => resolvePaths(element, item, folder));
  }
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => {
      const child = childOf(schema, name);
      return [name, child === null ? entry : resolvePaths(child, entry, folder)];
    }),
  );
}
