// Results as markdown, and how results of several runs are kept together: rows are stored as data (docs/benchmarks.json), each
// with the run that it comes from, and docs/benchmarks.md is rendered from all of them. So one row can be measured anew
// without the others, and says so.
export interface Table {
  readonly heading: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Rows that agree in so many of their first cells answer the same question; the newer one replaces the older. @default 1 */
  readonly keyColumns?: number;
}

export interface Report {
  readonly name: string;
  readonly title: string;
  /** How it was measured, in sentences; rows that were measured in another way are not kept beside these. */
  readonly method: string;
  /** What the product sets out to reach, in the issue's terms. */
  readonly target: string;
  readonly tables: readonly Table[];
  /** "SUBJECT: what is to be said of it"; a newer note on the same subject replaces the older. */
  readonly notes: readonly string[];
}

/** Which command, and on what machine, commit and day. */
export interface Run {
  readonly command: string;
  readonly machine: string;
}

interface StoredRow {
  readonly cells: readonly string[];
  readonly run: Run;
}

interface StoredTable extends Omit<Table, 'rows'> {
  readonly rows: readonly StoredRow[];
}

/** A section of the document. */
export interface Section extends Omit<Report, 'tables'> {
  readonly tables: readonly StoredTable[];
}

/** The sections with what a report says put in its place, the rest kept. */
export function mergeReport(sections: readonly Section[], report: Report, run: Run): Section[] {
  const before = sections.find((section) => section.name === report.name);
  const kept = before?.method === report.method ? before : undefined;
  const fresh: Section = {
    ...report,
    tables: mergeTables(kept?.tables ?? [], report.tables, run),
    notes: mergeNotes(kept?.notes ?? [], report.notes),
  };
  return before === undefined
    ? [...sections, fresh]
    : sections.map((section) => (section === before ? fresh : section));
}

function mergeTables(old: readonly StoredTable[], fresh: readonly Table[], run: Run): StoredTable[] {
  const merged = fresh.map((table): StoredTable => {
    const before = old.find((one) => one.heading === table.heading && same(one.columns, table.columns));
    const key = (cells: readonly string[]): string => cells.slice(0, table.keyColumns ?? 1).join('\n');
    const keys = table.rows.map(key);
    const left = before?.rows.filter((row) => !keys.includes(key(row.cells))) ?? [];
    const rows = [...left, ...table.rows.map((cells) => ({ cells, run }))];
    return { ...table, rows: rows.sort((a, b) => inOrder(key(a.cells), key(b.cells))) };
  });
  const others = old.filter((table) => !merged.some((one) => one.heading === table.heading));
  return [...others, ...merged].sort((a, b) => inOrder(a.heading, b.heading));
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

/** Numbers inside of texts count as numbers: 2 comes before 16. */
function inOrder(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function mergeNotes(old: readonly string[], fresh: readonly string[]): string[] {
  const subject = (note: string): string => note.split(':')[0] ?? note;
  const told = fresh.map(subject);
  return [...old.filter((note) => !told.includes(subject(note))), ...fresh].sort(inOrder);
}

/** One report alone, for people who look on. */
export function formatReport(report: Report, run: Run): string {
  return formatSection(present(mergeReport([], report, run)[0]));
}

function present(section: Section | undefined): Section {
  if (section === undefined) throw new Error('a merged report is a section');
  return section;
}

function formatSection(section: Section): string {
  const runs: Run[] = [];
  for (const { run } of section.tables.flatMap((table) => table.rows)) {
    if (!runs.some((one) => sameRun(one, run))) runs.push(run);
  }
  const numberOf = (run: Run): number => runs.findIndex((one) => sameRun(one, run)) + 1;
  return [
    `## ${section.title}`,
    section.method,
    `Target: ${section.target}`,
    ...section.tables.map((table) => formatTable(table, numberOf)),
    ...(section.notes.length === 0 ? [] : [section.notes.map((note) => `- ${note}`).join('\n')]),
    `Measured with\n\n${runs.map((run, index) => `${index + 1}. \`${run.command}\` on: ${run.machine}`).join('\n')}`,
  ].join('\n\n');
}

function sameRun(a: Run, b: Run): boolean {
  return a.command === b.command && a.machine === b.machine;
}

function formatTable(table: StoredTable, numberOf: (run: Run) => number): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const columns = [...table.columns, 'run'];
  const rule = `|${columns.map(() => ' --- ').join('|')}|`;
  const rows = table.rows.map((row) => line([...row.cells, String(numberOf(row.run))]));
  return [`### ${table.heading}`, '', line(columns), rule, ...rows].join('\n');
}

const HEAD = `# Benchmarks

Written by \`npm run bench -- --write\` from docs/benchmarks.json; a row is replaced when it is measured again, and each names the run
that it comes from. Wall time includes flushing, the page cache is dropped before each run unless a row says otherwise, and
source bytes are counted by the kernel. A comparison runs A B A B within one run; a ratio is the median of the pairs with the smallest and the
largest, "(one)" where there was one pair only. Absent rivals are listed as absent.
`;

export function formatDocument(sections: readonly Section[]): string {
  return `${[HEAD.trimEnd(), ...sections.map(formatSection)].join('\n\n')}\n`;
}
