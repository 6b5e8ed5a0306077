// Figures that a document quotes from docs/benchmarks.json. Behind each stands which it is, where readers do not see it:
//
//   1.94<!-- figure: staggered | Image larger* | 8 1 | understudy -->      question | table | row | column
//   0.95<!-- figure: max | all-at-once | *on disk* | * | ratio -->         the largest of several rows or tables, or the smallest
//
// A row is named by its key cells, a second column of one name by "#2"; "*" stands for anything. The figure is the first number of
// the cell, the median, with as many digits as the document gives it.
import type { Section } from './report.ts';

const FIGURE = /(\d+(?:\.\d+)?)<!-- figure: (.*?) -->/g;

export interface Quoted {
  readonly text: string;
  readonly query: string;
}

export function quotedIn(page: string): Quoted[] {
  return [...page.matchAll(FIGURE)].map(([, text = '', query = '']) => ({ text, query }));
}

/** The page with every figure as it is measured now. @throws Error for one that names no cell, or several without min or max */
export function withFigures(page: string, sections: readonly Section[]): string {
  return page.replace(FIGURE, (whole: string, text: string, query: string) => {
    const digits = text.split('.')[1]?.length ?? 0;
    return `${figureOf(query, sections).toFixed(digits)}${whole.slice(text.length)}`;
  });
}

function figureOf(query: string, sections: readonly Section[]): number {
  const words = query.split('|').map((word) => word.trim());
  const choice = words[0] === 'min' || words[0] === 'max' ? words.shift() : undefined;
  const [question = '', table = '', row = '', column = ''] = words;
  const cells = sections
    .filter(({ name }) => name === question)
    .flatMap(({ tables }) => tables.filter(({ heading }) => matches(heading, table)))
    .flatMap(({ columns, rows, keyColumns = 1 }) => {
      const at = columnOf(columns, column);
      return rows
        .filter(({ cells }) => matches(cells.slice(0, keyColumns).join(' '), row))
        .map(({ cells }) => cells[at]);
    });
  const values = cells.map((cell) => Number.parseFloat(cell ?? '')).filter((value) => !Number.isNaN(value));
  if (values.length === 0) throw new Error(`"${query}" names no figure of docs/benchmarks.json`);
  if (choice === undefined && values.length > 1) throw new Error(`"${query}" names ${values.length} figures`);
  return choice === 'max' ? Math.max(...values) : Math.min(...values);
}

function columnOf(columns: readonly string[], column: string): number {
  const [name = '', count = '1'] = column.split('#');
  const places = columns.flatMap((one, index) => (one === name ? [index] : []));
  return places[Number(count) - 1] ?? -1;
}

/** "*" in the pattern stands for any text. */
function matches(text: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(text);
}
