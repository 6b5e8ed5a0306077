// What understudy.yaml says of a service whose traffic HAProxy spreads. See docs/haproxy.md for the other half, haproxy.cfg.
import { z } from 'zod';

/** What HAProxy takes as the name of a backend or server (configuration manual 2.6, section 2.1), and nothing of ours needs more. */
export const HAPROXY_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

const backendName = z.string().regex(HAPROXY_NAME, 'letters, digits, "_", "." and "-" only, at most 64');

export const haproxySettings = z
  .strictObject({
    socket: z
      .string()
      .min(1)
      .meta({ format: 'path' })
      .describe('Runtime socket of HAProxy: a Unix socket with level admin.'),
    backend: backendName.describe(
      'Backend that every request may be sent to: the lead, and understudies with all traffic.',
    ),
    readsBackend: backendName
      .nullable()
      .default(null)
      .describe('Backend that gets GET and HEAD only: the lead and the understudies with traffic "reads".'),
    checkIntervalMs: z
      .int()
      .min(100)
      .max(60_000)
      .default(1000)
      .describe('How often HAProxy checks a server that was added at run time.'),
    checkPasses: z.int().min(1).max(10).default(2).describe('Checks in a row that a server down has to pass (rise).'),
    // At least two: with one, HAProxy does not show whether a server that has just been enabled was checked already.
    checkFailures: z.int().min(2).max(10).default(3).describe('Checks in a row that take a server down (fall).'),
    connectionsMax: z
      .int()
      .min(1)
      .max(1_000_000)
      .nullable()
      .default(null)
      .describe('Connections that a server added at run time gets at once (maxconn); others wait.'),
    timeoutMs: z
      .int()
      .min(1000)
      .max(600_000)
      .default(30_000)
      .describe('Time in which a server has to reach the state that was asked for.'),
  })
  .refine((settings) => settings.backend !== settings.readsBackend, {
    path: ['readsBackend'],
    error: 'must be another backend than "backend": writes would reach it',
  });

export type HaproxySettings = z.output<typeof haproxySettings>;
