// Counters, histograms and the text in which Prometheus reads them (exposition formats, text-based format 0.0.4).

/** Labels of more combinations are a mistake of ours: they must not grow with what callers send. */
const SERIES_MAX = 10_000;

interface Series<T> {
  readonly labels: readonly string[];
  value: T;
}

class Family<T> {
  readonly names: readonly string[];
  readonly #series = new Map<string, Series<T>>();

  constructor(names: readonly string[]) {
    this.names = names;
  }

  get series(): Iterable<Series<T>> {
    return this.#series.values();
  }

  protected at(labels: readonly string[], initial: () => T): Series<T> | null {
    const key = labels.join('\0');
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= SERIES_MAX) return null;
    const series = { labels, value: initial() };
    this.#series.set(key, series);
    return series;
  }
}

export class Counter extends Family<number> {
  add(labels: readonly string[]): void {
    const series = this.at(labels, () => 0);
    if (series !== null) series.value += 1;
  }
}

interface Distribution {
  /** Of each bucket alone, the last being what is above all. */
  readonly counts: number[];
  sum: number;
}

export class Histogram extends Family<Distribution> {
  readonly bounds: readonly number[];

  constructor(names: readonly string[], bounds: readonly number[]) {
    super(names);
    this.bounds = bounds;
  }

  observe(labels: readonly string[], value: number): void {
    const series = this.at(labels, () => ({ counts: Array(this.bounds.length + 1).fill(0), sum: 0 }));
    if (series === null) return;
    const at = this.bounds.findIndex((bound) => value <= bound);
    const bucket = at < 0 ? this.bounds.length : at;
    series.value.counts[bucket] = (series.value.counts[bucket] ?? 0) + 1;
    series.value.sum += value;
  }
}

type Row = readonly [labels: readonly string[], value: number];

export interface MetricDefinition {
  readonly name: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

export class Exposition {
  #lines: string[] = [];
  readonly #definitions: MetricDefinition[] = [];

  get definitions(): readonly MetricDefinition[] {
    return this.#definitions;
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  gauge(name: string, help: string, names: readonly string[], rows: readonly Row[]): void {
    this.#head({ name, help, type: 'gauge', labels: names });
    for (const [labels, value] of rows) this.#sample(name, names, labels, value);
  }

  counter(name: string, help: string, counter: Counter): void {
    this.#head({ name, help, type: 'counter', labels: counter.names });
    for (const { labels, value } of counter.series) this.#sample(name, counter.names, labels, value);
  }

  histogram(name: string, help: string, histogram: Histogram): void {
    this.#head({ name, help, type: 'histogram', labels: histogram.names });
    const names = [...histogram.names, 'le'];
    for (const { labels, value } of histogram.series) {
      let total = 0;
      for (const [index, count] of value.counts.entries()) {
        total += count;
        const bound = histogram.bounds[index];
        this.#sample(`${name}_bucket`, names, [...labels, bound === undefined ? '+Inf' : String(bound)], total);
      }
      this.#sample(`${name}_sum`, histogram.names, labels, value.sum);
      this.#sample(`${name}_count`, histogram.names, labels, total);
    }
  }

  #head(definition: MetricDefinition): void {
    const { name, help, type } = definition;
    this.#definitions.push(definition);
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  #sample(name: string, names: readonly string[], labels: readonly string[], value: number): void {
    const pairs = names.map((label, index) => `${label}="${quote(labels[index] ?? '')}"`);
    this.#lines.push(`${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`);
  }
}

function quote(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
