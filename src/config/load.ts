// Reads understudy.yaml: all that is wrong is told at once, each with its place and what to do.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import * as z from 'zod';
import { errnoOf, intrusionOn, lookAlong, messageOf, UnderstudyError } from '../base/mod.ts';
import { buildApi, buildConfiguration } from './build.ts';
import { checkDrivers, type Settings } from './check-drivers.ts';
import { checkReferences } from './check-references.ts';
import { checkSecrets, type MayBeMissing } from './check-secrets.ts';
import { checkState } from './check-state.ts';
import { checkValues } from './check-values.ts';
import type { ApiConfig, Configuration, DriverSchemas, TlsConfig } from './contract.ts';
import { type ConfigDocument, FILE_BYTES_MAX, readDocument } from './document.ts';
import { explain } from './explain.ts';
import { identitySchema, type RawIdentity, type RawRules, rulesSchema } from './identity-schema.ts';
import type { PartlyRaw } from './partial.ts';
import { policySchema, type RawPolicy } from './policy-schema.ts';
import { formatProblem, type Path, type Problem, type Report } from './problem.ts';
import { configurationSchema, type Raw } from './schema.ts';
import { resolvePaths, salvage } from './shape.ts';

/** More are counted, not listed. */
const PROBLEMS_MAX = 50;

export interface Reading {
  /** null: there are problems. */
  readonly configuration: Configuration | null;
  /** In the order of the file. */
  readonly problems: readonly Problem[];
  /** What stands in the file, as it stands there; undefined: it could not be read. */
  readonly written: unknown;
}

/**
 * @param path of understudy.yaml; problems name it as it is given here
 * @param mayBeMissing of files with secrets that `understudy restore` is about to put back @default none
 * @throws CONFIG_INVALID with one line a problem, CONFIG_UNREADABLE when the file itself cannot be read
 */
export async function loadConfiguration(
  path: string,
  drivers: DriverSchemas,
  mayBeMissing: MayBeMissing = () => false,
): Promise<Configuration> {
  return (await loadWritten(path, drivers, mayBeMissing)).configuration;
}

/** The same, with what stands in the file. @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export async function loadWritten(
  path: string,
  drivers: DriverSchemas,
  mayBeMissing: MayBeMissing = () => false,
): Promise<Written> {
  const { configuration, problems, written } = await readConfiguration(path, drivers, mayBeMissing);
  if (configuration === null) throw invalid(path, problems);
  return { configuration, written };
}

/** A configuration, and what stands in its file. */
export interface Written {
  readonly configuration: Configuration;
  readonly written: unknown;
}

/** The same, with what is wrong as a list. @throws CONFIG_UNREADABLE */
export async function readConfiguration(
  path: string,
  drivers: DriverSchemas,
  mayBeMissing: MayBeMissing = () => false,
): Promise<Reading> {
  const { document, folder } = await readFile(path);
  const problems = [...document.problems];
  const written = document.value;
  if (written === undefined) return { configuration: null, problems, written };
  const report = reporter(path, document, problems);
  const whole = z.safeParse(configurationSchema, document.value);
  if (!whole.success) explain(configurationSchema, whole.error.issues, document.value, [], report);
  const right = salvage(configurationSchema, document.value) ?? {};
  const partly = resolvePaths(configurationSchema, right, folder) as PartlyRaw;
  checkReferences(partly, { volumes: namesIn(document, 'volumes'), hosts: namesIn(document, 'hosts') }, report);
  checkValues(partly, report);
  const settings: Settings = checkDrivers(partly, drivers, folder, report);
  checkSecrets(partly, settings, mayBeMissing, report);
  checkState(partly, report);
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  if (problems.length > 0) return { configuration: null, problems, written };
  // Nothing is wrong, so nothing was left out.
  return { configuration: buildConfiguration(resolve(path), partly as Raw, settings), problems, written };
}

/** What a client of the controller has to know; problems elsewhere in the file are not its business. */
export interface Connection {
  readonly state: string;
  readonly tls: TlsConfig | null;
  readonly api: ApiConfig;
  /** Names, as they stand in the file. */
  readonly hosts: readonly string[];
  readonly services: readonly string[];
}

/** @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export async function loadConnection(path: string): Promise<Connection> {
  const { document, folder } = await readFile(path);
  const problems = [...document.problems];
  const { state: stateSchema, tls: tlsSchema, api: apiSchema } = configurationSchema.shape;
  const schema = z.object({ state: stateSchema, tls: tlsSchema, api: apiSchema });
  if (document.value === undefined) throw invalid(path, problems);
  const result = z.safeParse(schema, document.value);
  if (!result.success) {
    explain(configurationSchema, result.error.issues, document.value, [], reporter(path, document, problems));
  }
  if (!result.success || problems.length > 0) throw invalid(path, problems);
  const raw = resolvePaths(schema, result.data, folder) as z.output<typeof schema>;
  const names = { hosts: namesIn(document, 'hosts'), services: namesIn(document, 'services') };
  return { state: raw.state, tls: raw.tls ?? null, api: buildApi(raw), ...names };
}

/** A file about one host: who it is. @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export function loadIdentity(path: string): Promise<RawIdentity> {
  return loadOf(path, identitySchema);
}

/** A file of rules for what must not exist twice. @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export function loadRules(path: string): Promise<RawRules> {
  return loadOf(path, rulesSchema);
}

/** A policy for recorded signals. @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export function loadPolicy(path: string): Promise<RawPolicy> {
  return loadOf(path, policySchema);
}

async function loadOf<T extends z.ZodObject>(path: string, schema: T): Promise<z.output<T>> {
  const { document, folder } = await readFile(path);
  const problems = [...document.problems];
  if (document.value === undefined) throw invalid(path, problems);
  const result = z.safeParse(schema, document.value);
  if (!result.success) explain(schema, result.error.issues, document.value, [], reporter(path, document, problems));
  if (!result.success || problems.length > 0) throw invalid(path, problems);
  return resolvePaths(schema, result.data, folder) as z.output<T>;
}

function reporter(file: string, document: ConfigDocument, problems: Problem[]): Report {
  return (path: Path, text, hint = null, place = 'value') => {
    problems.push({ file, ...document.positionOf(path, place), text, hint });
  };
}

function namesIn(document: ConfigDocument, group: 'volumes' | 'hosts' | 'services'): readonly string[] {
  const value = (document.value as Readonly<Record<string, unknown>> | null)?.[group];
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function invalid(path: string, problems: readonly Problem[]): UnderstudyError {
  const lines = problems.slice(0, PROBLEMS_MAX).map(formatProblem);
  if (problems.length > PROBLEMS_MAX) lines.push(`and ${problems.length - PROBLEMS_MAX} more`);
  const [first] = problems;
  return new UnderstudyError('CONFIG_INVALID', lines.join('\n'), {
    details: { file: path, problems: problems.length, line: first?.line ?? 1, column: first?.column ?? 1 },
  });
}

async function readFile(path: string): Promise<{ readonly document: ConfigDocument; readonly folder: string }> {
  const folder = dirname(resolve(path));
  const text = await readText(path);
  if (typeof text === 'string') return { document: readDocument(path, text), folder };
  const problem = { file: path, line: 1, column: 1, ...text };
  const document = { value: undefined, problems: [problem], positionOf: () => ({ line: 1, column: 1 }) };
  return { document, folder };
}

/**
 * The text, or what is wrong with the whole of it: also that others could write it, for it says what is done as this
 * user.
 */
async function readText(path: string): Promise<string | { readonly text: string; readonly hint: string }> {
  try {
    // A pipe must not hold up anybody: without this flag opening one waits for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile()) throw new UnderstudyError('CONFIG_UNREADABLE', `${path} is not a regular file`);
      if (facts.size > FILE_BYTES_MAX) return { text: 'the file is too long', hint: `at most ${FILE_BYTES_MAX} bytes` };
      const intrusion = intrusionOn(lookAlong(path));
      if (intrusion !== null) return { text: `the file ${intrusion.text}`, hint: intrusion.hint };
      return new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile());
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof TypeError) return { text: 'the file is not text in UTF-8', hint: 'save it as UTF-8' };
    if (errnoOf(error) === null) throw error;
    throw new UnderstudyError('CONFIG_UNREADABLE', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
