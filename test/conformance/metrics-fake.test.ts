import { FakeMetrics } from '../../src/metrics/mod.ts';
import { describeMetrics } from './metrics.ts';

describeMetrics('fake', async () => {
  const metrics = new FakeMetrics();
  metrics.answers.set('five', 5).set('nothing', null).set('nan', null);
  const url = 'http://metrics';
  const nowhere = 'http://nowhere';
  metrics.down.add(nowhere);
  const queries = { five: 'five', nothing: 'nothing', notANumber: 'nan', wrong: 'wrong' };
  return { metrics, url, nowhere, ...queries, close: async () => undefined };
});
