export type { MetricQuery, Metrics } from './contract.ts';
export { FakeMetrics } from './fake.ts';
export { Prometheus } from './prometheus.ts';
