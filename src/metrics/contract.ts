// Numbers about hosts that somebody else has measured already. Seed row P1.

export interface MetricQuery {
  /** Of the server, without a slash at its end. */
  readonly url: string;
  /** In the language of the server: PromQL. */
  readonly query: string;
  /** File whose first line is a bearer token; null: none is sent. Read anew for each question. */
  readonly tokenFile: string | null;
}

export interface Metrics {
  /**
   * The value now.
   * @returns null: there is none (no series, or not a number)
   * @throws METRICS_FAILED with what it said, or why it could not be asked; CONFIG_UNREADABLE for the token; INTERRUPTED
   */
  read(query: MetricQuery, signal: AbortSignal): Promise<number | null>;
}
