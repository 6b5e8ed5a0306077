// What zod finds, in words for whoever wrote the file.
import type * as z from 'zod';
import { formatPath, type Path, type Report } from './problem.ts';
import { exampleAt, knownKeys } from './shape.ts';
import { suggestion } from './suggest.ts';

type Issue = z.core.$ZodIssue;

/**
 * Reports every issue of a value at `base`.
 * @param value what was checked, to tell missing from wrong
 */
export function explain(
  schema: z.core.$ZodType,
  issues: readonly Issue[],
  value: unknown,
  base: Path,
  report: Report,
): void {
  for (const issue of issues) explainOne(schema, issue, value, base, report);
}

function explainOne(schema: z.core.$ZodType, issue: Issue, value: unknown, base: Path, report: Report): void {
  const inner = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  const path = [...base, ...inner];
  switch (issue.code) {
    case 'unrecognized_keys':
      for (const key of issue.keys) {
        const hint = suggestion(key, knownKeys(schema, inner));
        report([...path, key], `${owner(path)}there is no entry "${key.slice(0, 100)}"`, hint, 'key');
      }
      return;
    case 'invalid_key': {
      const [cause] = issue.issues;
      report(path, `${owner(path)}${cause?.message ?? issue.message}`, hintOf(cause), 'key');
      return;
    }
    case 'invalid_union':
      explainUnion(schema, issue, value, base, report);
      return;
    default:
      explainValue(issue, valueAt(value, inner), path, report, exampleAt(schema, inner));
  }
}

function explainValue(issue: Issue, actual: unknown, path: Path, report: Report, example: string | null): void {
  if (actual === undefined) {
    report(path, `${owner(path.slice(0, -1))}"${path.at(-1) ?? 'everything'}" is missing`, null, 'key');
    return;
  }
  const { text, hint } = describe(issue, actual);
  const better = issue.code === 'invalid_type' && example !== null ? `write for example ${example}` : hint;
  report(path, `${owner(path)}${text}`, better);
}

/** Of the ways in which a value may be written, the one that it nearly is: whose first complaint lies deepest. */
function explainUnion(
  schema: z.core.$ZodType,
  issue: z.core.$ZodIssueInvalidUnion,
  value: unknown,
  base: Path,
  report: Report,
): void {
  const depth = (issues: readonly Issue[]): number => Math.max(0, ...issues.map(({ path }) => path.length));
  const [nearest = []] = [...issue.errors].sort((a, b) => depth(b) - depth(a));
  for (const one of nearest) {
    explainOne(schema, { ...one, path: [...issue.path, ...one.path] }, value, base, report);
  }
  const path = [...base, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
  if (nearest.length === 0) report(path, `${owner(path)}this cannot stand here`);
}

function owner(path: Path): string {
  return path.length === 0 ? '' : `${formatPath(path)}: `;
}

function hintOf(issue: Issue | undefined): string | null {
  const hint = issue?.code === 'custom' ? issue.params?.hint : undefined;
  return typeof hint === 'string' ? hint : null;
}

function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const part of path) {
    at = typeof at === 'object' && at !== null ? (at as Readonly<Record<string | number, unknown>>)[part] : undefined;
  }
  return at;
}

interface Description {
  readonly text: string;
  readonly hint: string | null;
}

function describe(issue: Issue, actual: unknown): Description {
  switch (issue.code) {
    case 'invalid_type':
      return describeType(issue.expected, actual);
    case 'invalid_value': {
      const known = issue.values.map(String);
      const text = `must be ${known.length === 1 ? known[0] : `one of ${known.join(', ')}`}, not ${show(actual)}`;
      const near = typeof actual === 'string' ? suggestion(actual, known) : null;
      return { text, hint: near?.startsWith('known') ? null : near };
    }
    case 'too_small':
    case 'too_big':
      return describeRange(issue);
    case 'custom':
      return { text: issue.message, hint: hintOf(issue) };
    default:
      return { text: issue.message, hint: null };
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a group of entries',
  record: 'a group of entries',
  array: 'a list',
  null: 'nothing',
};

function describeType(expected: string, actual: unknown): Description {
  const text = `must be ${TYPES[expected] ?? expected}, not ${show(actual)}`;
  if (expected === 'string' && (typeof actual === 'number' || typeof actual === 'boolean')) {
    return { text, hint: `put it in quotes: "${actual}"` };
  }
  if (actual === null) return { text, hint: 'nothing is below it: is the indentation right?' };
  if (expected === 'array') return { text, hint: 'write [ ... ], or lines that begin with "- "' };
  if ((expected === 'number' || expected === 'int') && typeof actual === 'string') {
    const number = Number(actual);
    return { text, hint: Number.isFinite(number) && actual !== '' ? `without quotes: ${number}` : null };
  }
  return { text, hint: null };
}

/** Short enough for one line. */
function show(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a group of entries';
  return typeof value === 'string' ? `"${value.slice(0, 60)}"` : String(value);
}

function describeRange(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): Description {
  const small = issue.code === 'too_small';
  const bound = small ? issue.minimum : issue.maximum;
  if (issue.origin === 'string') {
    return { text: small ? 'is too short' : 'is too long', hint: `at ${small ? 'least' : 'most'} ${bound} letters` };
  }
  if (issue.origin === 'array') {
    return {
      text: `must have at ${small ? 'least' : 'most'} ${bound} ${bound === 1n || bound === 1 ? 'entry' : 'entries'}`,
      hint: null,
    };
  }
  const word = small ? (issue.inclusive ? 'at least' : 'more than') : issue.inclusive ? 'at most' : 'less than';
  return { text: `must be ${word} ${bound}`, hint: null };
}
