// What a service is judged by: signals of the agent on each host, of the director, and of Prometheus.
import * as z from 'zod';
import { durationSeconds, path } from './fields.ts';
import { objectiveOrBaseline, signalBaseline, signalObjective, signalOutside } from './signal-schema.ts';
import { suggestion } from './suggest.ts';

/** docs/agent.md has what they mean. */
export const AGENT_SIGNALS = [
  'probe.milliseconds',
  'cpu.pressure',
  'cpu.pressureFull',
  'memory.pressure',
  'memory.pressureFull',
  'memory.available',
  'io.pressure',
  'io.pressureFull',
  'load.perCpu',
  'disk.milliseconds',
  'disk.queue',
  'disk.busy',
  'network.receivedBytes',
  'network.sentBytes',
  'network.errors',
  'network.retransmits',
  'command.milliseconds',
  'command.value',
] as const;

/** docs/haproxy.md has what they mean. */
export const DIRECTOR_SIGNALS = [
  'director.responseMilliseconds',
  'director.checkMilliseconds',
  'director.errors',
  'director.connections',
  'director.queue',
] as const;

export const SIGNALS_MAX = 16;
/** Evidence and metrics are called by it. */
const NAME = /^[a-z][A-Za-z0-9]*([._-][A-Za-z0-9]+)*$/;

export const objectiveSchema = z.strictObject({
  signal: z.enum([...AGENT_SIGNALS, ...DIRECTOR_SIGNALS]).describe('What is measured.'),
  below: z.number().positive().max(1e9).describe('A sample above this breaches the objective.'),
  fast: durationSeconds('2s', '1h').prefault('10s').describe('Short window: the objective is broken now ...'),
  slow: durationSeconds('2s', '24h').prefault('60s').describe('... and long window: and it is not one spike.'),
  share: z
    .number()
    .positive()
    .max(1)
    .prefault(0.5)
    .describe('Degraded when in both windows at least this share of the samples breach.'),
});

const prometheus = z.strictObject({
  url: z
    .string()
    .regex(/^https?:\/\/[^@?#\s]+$/, { error: 'must be an http or https URL without user and query' })
    .max(1000)
    .describe('Where the Prometheus server is, `/api/v1/query` excluded.'),
  query: z
    .string()
    .min(1)
    .max(4000)
    .describe('PromQL for one number. `{{host}}` and `{{address}}` stand for the host that is judged.'),
  every: durationSeconds('1s', '1h').prefault('15s').describe('How often it is asked.'),
  tokenFile: path().optional().describe('File whose first line is a bearer token, mode 0600.'),
});

export const signalSchema = z
  .strictObject({
    name: z
      .string()
      .regex(NAME, { error: 'must be letters and digits, in parts with "." between them' })
      .max(100)
      .describe('A signal of the agent or of the director; with `prometheus` any name.'),
    prometheus: prometheus
      .optional()
      .describe('Where its values come from, if neither from the agent nor from the director.'),
    objective: signalObjective.optional().describe('What has to hold.'),
    baseline: signalBaseline
      .optional()
      .describe('Judged by what is usual for it, learned from it alone, with its daily and weekly rhythm.'),
    outside: signalOutside,
  })
  .superRefine((signal, context) => {
    objectiveOrBaseline(signal, context);
    const known: readonly string[] = [...AGENT_SIGNALS, ...DIRECTOR_SIGNALS];
    if (signal.prometheus !== undefined && known.includes(signal.name)) {
      context.addIssue({
        code: 'custom',
        path: ['name'],
        message: `"${signal.name}" is measured already; take another name`,
      });
    }
    if (signal.prometheus !== undefined || known.includes(signal.name)) return;
    const params = {
      hint: suggestion(signal.name, known) ?? 'docs/agent.md and docs/haproxy.md have all; others need prometheus',
    };
    context.addIssue({ code: 'custom', path: ['name'], message: `there is no signal "${signal.name}"`, params });
  });
