// What is published about the interface is what the program answers.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { apiPage, metricsPage } from '../../scripts/interface-pages.ts';

it('api - the page of the HTTP interface is made of its schemas', async () => {
  expect(readFileSync('docs/http-api.md', 'utf8')).toBe(await apiPage());
});

it('api - the page of the metrics is made of what the controller writes', async () => {
  expect(readFileSync('docs/metrics.md', 'utf8')).toBe(await metricsPage());
});
