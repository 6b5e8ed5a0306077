// One thing that is wrong with the configuration, and where.

export type Path = readonly (string | number)[];

export interface Position {
  /** 1 and up. */
  readonly line: number;
  /** 1 and up, in UTF-16 units as editors count. */
  readonly column: number;
}

export interface Problem extends Position {
  readonly file: string;
  /** Which entry, and what about it: "hosts.web1.volume: there is no volume "wbe1"". */
  readonly text: string;
  /** What to do; null when the text says it all. */
  readonly hint: string | null;
}

/** Where a problem is shown: at the key of its entry, or at the value. */
export type Place = 'key' | 'value';

/** Takes a problem of an entry. */
export type Report = (path: Path, text: string, hint?: string | null, place?: Place) => void;

/** "understudy.yaml:12:5: text (hint)": what editors and terminals make a link of. */
export function formatProblem(problem: Problem): string {
  const hint = problem.hint === null ? '' : ` (${problem.hint})`;
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.text}${hint}`;
}

/** "hosts.web1.interfaces[0].mac"; the whole file: "". */
export function formatPath(path: Path): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '');
}
