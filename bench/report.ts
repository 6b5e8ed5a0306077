// Results as markdown: a section a question, kept between markers in docs/benchmarks.md so that one can be measured anew
// without the others.
export interface Table {
  readonly heading: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Report {
  readonly name: string;
  readonly title: string;
  /** How it was measured, in sentences. */
  readonly method: string;
  /** What the product sets out to reach, in the terms. */
  readonly target: string;
  readonly tables: readonly Table[];
  readonly notes: readonly string[];
}

export function formatReport(report: Report, machine: string): string {
  return [
    `## ${report.title}`,
    report.method,
    `Target: ${report.target}`,
    ...report.tables.map(formatTable),
    ...(report.notes.length === 0 ? [] : [report.notes.map((note) => `- ${note}`).join('\n')]),
    `Measured with \`npm run bench -- ${report.name}\` on: ${machine}.`,
  ].join('\n\n');
}

function formatTable(table: Table): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `|${table.columns.map(() => ' --- ').join('|')}|`;
  return [`### ${table.heading}`, '', line(table.columns), rule, ...table.rows.map(line)].join('\n');
}

const HEAD = `# Benchmarks

Written by \`npm run bench -- --write\`; a section is replaced when its question is measured again. Wall time includes flushing, the
page cache is dropped before each run, and source bytes are counted by the kernel. A comparison runs A B A B within one
run; a ratio is the median of the pairs with the smallest and the largest, "(one)" where there was one pair only. Absent rivals are listed as absent.
`;

function marker(name: string, end: 'begin' | 'end'): string {
  return `<!-- bench ${name} ${end} -->`;
}

/** The document with the sections of these reports replaced, or added in the order given. */
export function mergeIntoDocument(document: string, sections: ReadonlyMap<string, string>): string {
  let text = document.trim() === '' ? HEAD : document;
  for (const [name, section] of sections) {
    const [begin, end] = [marker(name, 'begin'), marker(name, 'end')];
    const wrapped = `${begin}\n${section}\n${end}`;
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    const known = from >= 0 && to > from;
    text = known ? text.slice(0, from) + wrapped + text.slice(to + end.length) : `${text.trimEnd()}\n\n${wrapped}\n`;
  }
  return text;
}
