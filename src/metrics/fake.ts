// Metrics in memory, for simulations and for tests of what asks for them.
import { existsSync } from 'node:fs';
import { UnderstudyError } from '../base/mod.ts';
import type { MetricQuery, Metrics } from './contract.ts';

export class FakeMetrics implements Metrics {
  /** By the query; null: it gives nothing. What is not here is refused. */
  readonly answers = new Map<string, number | null>();
  /** In the order in which they were asked. */
  readonly asked: MetricQuery[] = [];

  /** URLs that cannot be reached. */
  readonly down = new Set<string>();

  async read(query: MetricQuery, signal: AbortSignal): Promise<number | null> {
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `asking ${query.url} was stopped`);
    if (query.tokenFile !== null && !existsSync(query.tokenFile)) {
      throw new UnderstudyError('CONFIG_UNREADABLE', `${query.tokenFile} is not there`);
    }
    if (this.down.has(query.url)) throw new UnderstudyError('METRICS_FAILED', `${query.url} cannot be asked`);
    this.asked.push(query);
    const answer = this.answers.get(query.query);
    if (answer === undefined) throw new UnderstudyError('METRICS_FAILED', `${query.url} does not know ${query.query}`);
    return answer;
  }
}
