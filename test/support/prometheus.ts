// Reads Prometheus' text format 0.0.4 strictly, as a scraper would.
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/;

/** Families by name. @throws for anything that the format does not allow */
export function parseMetrics(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  const seen = new Set<string>();
  let current: { type: string; help: string; samples: Sample[] } | undefined;
  let currentName = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const [, kind, name = '', rest = ''] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line) ?? [];
    if (kind === 'HELP') {
      if (families.has(name)) throw new Error(`${name} is here twice`);
      current = { type: '', help: rest, samples: [] };
      currentName = name;
      families.set(name, current);
      continue;
    }
    if (kind === 'TYPE') {
      if (name !== currentName || current === undefined || current.samples.length > 0)
        throw new Error(`misplaced: ${line}`);
      current.type = rest;
      continue;
    }
    const sample = parseSample(line);
    if (current === undefined || !belongs(sample.name, currentName, current.type))
      throw new Error(`misplaced: ${line}`);
    const identity = line.slice(0, line.lastIndexOf(' '));
    if (seen.has(identity)) throw new Error(`twice: ${identity}`);
    seen.add(identity);
    current.samples.push(sample);
  }
  return families;
}

function belongs(sample: string, family: string, type: string): boolean {
  if (type === 'histogram') return [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(sample);
  return sample === family && (type === 'gauge' || type === 'counter');
}

function parseSample(line: string): Sample {
  const [, name = '', inner = '', number = ''] = SAMPLE.exec(line) ?? [];
  const value = Number(number);
  if (name === '' || !Number.isFinite(value)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = inner;
  while (rest !== '') {
    const match = LABEL.exec(rest);
    if (match === null) throw new Error(`no labels: ${line}`);
    labels[match[1] ?? ''] = (match[2] ?? '').replace(/\\(.)/g, (_, escaped: string) =>
      escaped === 'n' ? '\n' : escaped,
    );
    rest = rest.slice(match[0].length);
  }
  return { name, labels, value };
}

/** Value of the one sample with these labels. */
export function sampleOf(
  family: Family | undefined,
  labels: Readonly<Record<string, string>>,
  name?: string,
): number | null {
  const wanted = JSON.stringify(Object.entries(labels).sort());
  const found = family?.samples.filter(
    (sample) =>
      JSON.stringify(Object.entries(sample.labels).sort()) === wanted && (name === undefined || sample.name === name),
  );
  return found?.length === 1 ? (found[0]?.value ?? null) : null;
}
