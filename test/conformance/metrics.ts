// The suite that every driver of src/metrics/contract.ts must pass.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/mod.ts';
import type { MetricQuery, Metrics } from '../../src/metrics/mod.ts';

export interface MetricsStage {
  readonly metrics: Metrics;
  readonly url: string;
  /** Queries with these answers. */
  readonly five: string;
  readonly nothing: string;
  readonly notANumber: string;
  readonly wrong: string;
  /** Where nobody answers. */
  readonly nowhere: string;
  close(): Promise<void>;
}

const never = new AbortController().signal;

export function describeMetrics(driver: string, open: () => Promise<MetricsStage>): void {
  describe(`metrics contract - ${driver}`, () => {
    let stage: MetricsStage;
    beforeAll(async () => {
      stage = await open();
    });
    afterAll(async () => {
      await stage?.close();
    });
    const read = (query: string, edit: Partial<MetricQuery> = {}, signal = never) =>
      stage.metrics.read({ url: stage.url, query, tokenFile: null, ...edit }, signal);
    const codeOfRead = async (...args: Parameters<typeof read>): Promise<string> => {
      try {
        return `value ${await read(...args)}`;
      } catch (error) {
        return codeOf(error) ?? String(error);
      }
    };

    it('gives the number, and null where there is none', async () => {
      expect(await read(stage.five)).toBe(5);
      expect(await read(stage.nothing)).toBeNull();
      expect(await read(stage.notANumber)).toBeNull();
    });

    it('says what is wrong with a question, with who cannot be asked, and with a token that cannot be read', async () => {
      expect(await codeOfRead(stage.wrong)).toBe('METRICS_FAILED');
      expect(await codeOfRead(stage.five, { url: stage.nowhere })).toBe('METRICS_FAILED');
      expect(await codeOfRead(stage.five, { tokenFile: '/nowhere/token' })).toBe('CONFIG_UNREADABLE');
    });

    it('stops when it is told to', async () => {
      expect(await codeOfRead(stage.five, {}, AbortSignal.abort())).toBe('INTERRUPTED');
    });
  });
}
