// The real nginx on loopback, for a folder of images; of benchmarks and tests.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { requireTool } from '../../src/base/mod.ts';

export interface Nginx {
  /** Of the folder; what lies under /whole is the same without ranges. */
  readonly url: string;
  stop(): Promise<void>;
}

const LOOK_MS = 20;
const LOOKS_MAX = 2000;

/** Serves `folder`; its own files go into `work`, which must be there. */
export async function startNginx(folder: string, work: string): Promise<Nginx> {
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(work, name)};`,
  );
  mkdirSync(join(work, 'logs'), { recursive: true });
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const configuration = `
    daemon off; worker_processes 1; pid ${join(work, 'nginx.pid')}; error_log ${join(work, 'error.log')}; ${user}
    events { worker_connections 256; }
    http {
      access_log ${join(work, 'access.log')}; ${temporary.join(' ')}
      sendfile on;
      server {
        listen 127.0.0.1:${port};
        root ${folder};
        location /whole/ { alias ${folder}/; max_ranges 0; }
      }
    }`;
  writeFileSync(join(work, 'nginx.conf'), configuration);
  const args = ['-p', work, '-e', join(work, 'error.log'), '-c', join(work, 'nginx.conf')];
  const child: ChildProcess = spawn(requireTool('nginx', 'nginx-light'), args, {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const over = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  for (let looks = 0; !(await answers(url)); looks++) {
    if (child.exitCode !== null || looks > LOOKS_MAX) throw new Error(`nginx does not answer at ${url}`);
    await delay(LOOK_MS);
  }
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await over;
    },
  };
}

async function answers(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/`).catch(() => null);
  await answer?.body?.cancel();
  return answer !== null;
}

/** nginx cannot be asked which port it took, so one is looked for that is free now. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
