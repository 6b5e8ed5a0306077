// A folder with an understudy.yaml of an installation of two hosts, and the secrets that it names.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import type { DriverSchemas } from '../../src/config/mod.ts';

/** Drivers of an installation that exists in tests only, with settings of every kind. */
export const drivers: DriverSchemas = {
  power: {
    plug: z.strictObject({
      socket: z.string().meta({ format: 'path' }),
      outlet: z.int().min(1).max(8),
      delays: z.array(z.number()).optional(),
      login: z.strictObject({ file: z.string().meta({ format: 'path' }) }).optional(),
    }),
  },
  director: {
    spreader: z.strictObject({
      target: z.union([z.string(), z.strictObject({ unix: z.string() })]),
      weight: z.int().default(1),
    }),
  },
};

export const GOOD = `state: state
api:
  port: 0
  tokensFile: secrets/api
volumes:
  web1: { path: disks/web1.raw }
  spare1: { path: /dev/vg/spare1 }
hosts:
  web1:
    volume: web1
    interfaces:
      - { name: eth0, mac: 52:54:00:00:00:0A, addresses: [10.0.0.11/24], gateway: 10.0.0.1 }
    power: { driver: plug, settings: { socket: run/plug, outlet: 1 } }
    agentTokenFile: secrets/web1
  spare1:
    volume: spare1
    interfaces:
      - { name: eth0, mac: 52:54:00:00:00:0b, addresses: [10.0.0.12/24] }
    power: { driver: plug, settings: { socket: run/plug, outlet: 2 } }
services:
  wiki:
    lead: web1
    pool: [spare1]
    port: 80
    check: { contains: x }
    director: { driver: spreader, settings: { target: x } }
    objective: { signal: probe.milliseconds, below: 400 }
`;

export class ConfigFolder {
  readonly folder = mkdtempSync(join(tmpdir(), 'ust-config-'));

  constructor() {
    mkdirSync(this.path('secrets'));
    this.secret('api', 'operator alice token-of-alice-0123456789\n');
    this.secret('web1', 'token-of-web1-0123456789\n');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  secret(name: string, text: string, mode = 0o600): string {
    const path = this.path(join('secrets', name));
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  }

  /** Writes understudy.yaml. */
  write(text: string | Buffer = GOOD): string {
    writeFileSync(this.path('understudy.yaml'), text);
    return this.path('understudy.yaml');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** GOOD with one thing changed. */
export function changed(from: string | RegExp, to: string): string {
  const text = GOOD.replace(from, () => to);
  if (text === GOOD) throw new Error(`nothing changed: ${from}`);
  return text;
}
