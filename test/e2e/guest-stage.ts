// The stage of the end-to-end tests: two Debian guests, the lead web1 and the spare spare1, and how the world is asked about them.
import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGuests, buildPet, GUEST_APPEND, LEAD, SPARE } from '../../guests/mod.ts';
import { Stage } from '../../scripts/loop/stage.ts';
import { requireTool } from '../../src/base/mod.ts';
import type { EngagementView, StatusView } from '../../src/controller/mod.ts';
import { patience } from '../rig/patience.ts';

/** The first run on a machine builds the guests. */
export const BUILD_MS = patience(900_000);
/** One engagement on a machine that is busy with other things. */
export const LOOP_MS = patience(600_000);

export const dist = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));

export class GuestStage {
  readonly stage: Stage;
  readonly folder: string;
  readonly #sshKey: string;

  private constructor(stage: Stage, folder: string, sshKey: string) {
    this.stage = stage;
    this.folder = folder;
    this.#sshKey = sshKey;
  }

  /** @param pet the lead has a database, a mail server and jobs as well, and takes longer to start */
  static async make({ pet = false }: { readonly pet?: boolean } = {}): Promise<GuestStage> {
    const options = { report: () => undefined, abort: new AbortController().signal };
    const light = await buildGuests(options);
    const { image, ...own } = pet ? await buildPet(options) : { ...light, image: light.webImage };
    const folder = mkdtempSync(join(tmpdir(), 'e'));
    const host = (name: string, number: number, mac: string, image: string) => {
      return { name, number, mac, image, token: `agent-of-${name}-0123456789` };
    };
    const stage = await Stage.make({
      folder,
      program: dist('run/cli/understudy.js'),
      inside: dist('scripts/loop/inside.js'),
      agent: dist('run/agent/agent.js'),
      kernel: own.kernel,
      initrd: own.initrd,
      append: GUEST_APPEND,
      hosts: [host('web1', 11, LEAD.mac, image), host('spare1', 21, SPARE.mac, light.spareImage)],
      mode: 'advise',
      objectiveMs: 60_000,
    });
    return new GuestStage(stage, folder, own.sshKey);
  }

  /** The lead is on, and answers through HAProxy. */
  async startLead(): Promise<void> {
    await this.stage.startController();
    await this.stage.json('power', 'web1', 'on');
    await this.stage.until('web1 answers', async () => {
      return (await this.stage.insider.ask({ url: `${this.stage.site}/whoami.php` })).status === 200;
    });
  }

  async close(): Promise<void> {
    await this.stage.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  digestOf(host: string): Promise<string> {
    return digestOf(this.stage.volume(host));
  }

  async whoAmI(address: string): Promise<{ hostName: string; machineId: string }> {
    const { body } = await this.stage.insider.ask({ url: `http://${address}/whoami.php` });
    return JSON.parse(body) as { hostName: string; machineId: string };
  }

  /** What a command in a guest says. */
  run(address: string, command: string): Promise<string> {
    const known = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'];
    const args = ['-i', this.#sshKey, ...known, `root@${address}`, command];
    return this.stage.lan.run(requireTool('ssh', 'openssh-client'), args);
  }

  /** How many requests of a method are in a guest's access log. */
  async logged(address: string, method: 'GET' | 'POST'): Promise<number> {
    return Number(await this.run(address, `grep -c '"${method} ' /var/log/nginx/access.log || true`));
  }

  async engagement(): Promise<EngagementView | null> {
    return (await this.stage.api<StatusView>('/v1/status')).engagements.at(-1) ?? null;
  }

  async untilEngagement(what: string, reached: (seen: EngagementView) => boolean): Promise<EngagementView> {
    let last: EngagementView | null = null;
    await this.stage.until(
      what,
      async () => {
        last = await this.engagement();
        return last !== null && reached(last);
      },
      LOOP_MS,
    );
    if (last === null) throw new Error('no engagement');
    return last;
  }

  /** Writes and reads through HAProxy, one after the other, until told to stop. */
  useOnAndOn(): { stop(): Promise<{ readonly writes: readonly Write[]; readonly reads: readonly number[] }> } {
    const writes: Write[] = [];
    const reads: number[] = [];
    let going = true;
    const done = (async () => {
      while (going) {
        const request = { method: 'POST', url: `${this.stage.site}/counter.php`, body: '' };
        const { status, body } = await this.stage.insider.ask(request);
        writes.push({ status, number: Number(/\d+/.exec(body)?.[0] ?? Number.NaN) });
        reads.push((await this.stage.insider.ask({ url: `${this.stage.site}/whoami.php` })).status);
      }
    })();
    return {
      async stop() {
        going = false;
        await done;
        return { writes, reads };
      },
    };
  }
}

/** A request to the page that counts, and the number that it was given. */
export interface Write {
  readonly status: number;
  readonly number: number;
}

export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
