// What a baseline has learned, as plain JSON: kept by whoever runs longer than a process. What comes back from a file is checked here; a
// memory that is not whole is none.

export interface RecordMemory {
  /** Step and count of each that is not 0. */
  readonly counts: readonly (readonly [number, number])[];
  readonly total: number;
  readonly unit: number;
  readonly added: number;
}

export interface ModelMemory {
  readonly level: number;
  readonly usual: number;
  readonly samples: number;
  readonly error: number;
  readonly observed: number;
  readonly records: readonly RecordMemory[];
  /** Of the parts of the period; empty without one. */
  readonly means: readonly number[];
  readonly visits: readonly number[];
}

export interface BaselineMemory {
  readonly version: 1;
  readonly samples: number;
  /** Of the last sample. */
  readonly lastMs: number;
  readonly intervalMs: number;
  /** Place of the way that is believed. */
  readonly believed: number;
  readonly models: readonly ModelMemory[];
}

const DIGITS = 8;

/** Nobody foresees anything better by more digits. */
export function short(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

/** @param value from a file @returns null: it is not whole, or of another version */
export function parseBaselineMemory(value: unknown): BaselineMemory | null {
  if (!hasNumbers(value, ['samples', 'lastMs', 'intervalMs', 'believed']) || value.version !== 1) return null;
  const models = value.models;
  if (!Array.isArray(models) || !models.every(isModel)) return null;
  return value as unknown as BaselineMemory;
}

function isModel(value: unknown): boolean {
  if (!hasNumbers(value, ['level', 'usual', 'samples', 'error', 'observed'])) return false;
  const { records, means, visits } = value;
  if (!isNumbers(means) || !isNumbers(visits) || means.length !== visits.length) return false;
  return Array.isArray(records) && records.every(isRecord);
}

function isRecord(value: unknown): boolean {
  if (!hasNumbers(value, ['total', 'unit', 'added'])) return false;
  const { counts } = value;
  return Array.isArray(counts) && counts.every((pair) => isNumbers(pair) && pair.length === 2);
}

type Fields = Readonly<Record<string, unknown>>;

function hasNumbers(value: unknown, names: readonly string[]): value is Fields {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => Number.isFinite((value as Fields)[name]));
}

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(Number.isFinite);
}
