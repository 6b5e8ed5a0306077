// A real Prometheus of a test, with its data in a folder of its own, and a real node_exporter whose text files the test writes.
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTool, spawnBound } from '../../src/base/mod.ts';
import { eventually } from '../rig/wait.ts';
import { freePort } from './nbd-server.ts';

/** Starts a program, perhaps in a network of its own. */
export type Starter = (program: string, args: readonly string[]) => ChildProcess;
const here: Starter = (program, args) => spawnBound(program, args, { stdio: 'ignore' });

export class PrometheusServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'ust-prometheus-'));
  readonly #children: ChildProcess[] = [];
  readonly #start: Starter;
  port = 0;

  private constructor(start: Starter) {
    this.#start = start;
  }

  /** @param exporters addresses that are scraped once a second */
  static async start(
    exporters: readonly string[] = [],
    start: Starter = here,
    port?: number,
  ): Promise<PrometheusServer> {
    const server = new PrometheusServer(start);
    try {
      server.port = port ?? (await freePort());
      const targets = JSON.stringify(exporters);
      const config = join(server.folder, 'prometheus.yml');
      writeFileSync(
        config,
        `global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs: [{ job_name: hosts, static_configs: [{ targets: ${targets} }] }]\n`,
      );
      server.#spawn(requireTool('prometheus', 'prometheus'), [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(server.folder, 'data')}`,
        `--web.listen-address=0.0.0.0:${server.port}`,
      ]);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers; only for one in the network of the test. */
  async ready(): Promise<void> {
    await eventually('Prometheus', async () => {
      try {
        return (await fetch(`${this.url}/-/ready`)).ok;
      } catch {
        return false;
      }
    });
  }

  /** A node_exporter that shows nothing but what the test writes. */
  exporter(address: string): void {
    mkdirSync(join(this.folder, 'text'), { recursive: true });
    this.#spawn(requireTool('prometheus-node-exporter', 'prometheus-node-exporter'), [
      '--collector.disable-defaults',
      '--collector.textfile',
      `--collector.textfile.directory=${join(this.folder, 'text')}`,
      `--web.listen-address=${address}`,
    ]);
  }

  /** Shown by the exporter from its next look on. */
  write(name: string, value: number): void {
    const path = join(this.folder, 'text', `${name}.prom`);
    writeFileSync(`${path}.new`, `${name} ${value}\n`);
    renameSync(`${path}.new`, path);
  }

  async stop(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(program: string, args: readonly string[]): void {
    this.#children.push(this.#start(program, args));
  }
}
