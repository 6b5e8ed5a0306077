// Hosts in a test's network that answer as hosts do, and the look at them from the controller's machine: the probe that is
// tested runs as a process in the namespace of the bridge, and is spoken to over a channel.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Call,
  type ErrorCode,
  isErrorCode,
  present,
  requireTool,
  runTool,
  UnderstudyError,
} from '../../src/base/mod.ts';
import type { Answer, NetworkProbe, ServiceCheck } from '../../src/network/mod.ts';
import { eventually } from '../rig/wait.ts';
import type { Lan } from './net-namespace.ts';
import { compiled } from './source-client.ts';

/** Of every station. */
export const STATION_PORTS = { web: 80, silent: 81, nonsense: 82, closing: 83, bigHead: 84, ssh: 2222 } as const;

export type Look =
  | { readonly method: 'holders'; readonly args: readonly [string, string] }
  | { readonly method: 'check'; readonly args: readonly [string, ServiceCheck] }
  | { readonly method: 'sshHostKeys'; readonly args: readonly [string, number] };

export type ProbeOrder =
  | { readonly id: number; readonly look: Look; readonly aborted: boolean }
  | { readonly id: number; readonly look: null };

export interface ProbeReply {
  readonly id: number;
  readonly value?: unknown;
  readonly code?: string;
  readonly message?: string;
}

async function ready(child: ChildProcess, what: string): Promise<void> {
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${what} ended before it was ready`);
  });
  await Promise.race([once(child, 'message'), ended]);
}

/** Starts the HTTP server and the odd ports of a host. It ends with the network. */
export async function startStation(lan: Lan, host: string): Promise<void> {
  const { namespace } = lan.host(host);
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
  const child = lan.spawn(process.execPath, [compiled('station-main'), host], { stdio: [...stdio] }, namespace);
  await ready(child, `station ${host}`);
}

/** A real sshd(8) with keys of its own, that nobody can log in to. */
export class SshServer {
  /** As ssh-keygen(1) shows them, sorted. */
  readonly fingerprints: readonly string[];
  readonly child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, fingerprints: readonly string[]) {
    this.child = child;
    this.#folder = folder;
    this.fingerprints = fingerprints;
  }

  static async start(lan: Lan, host: string, types = ['ed25519', 'ecdsa', 'rsa']): Promise<SshServer> {
    const folder = mkdtempSync(join(tmpdir(), 'ust-sshd-'));
    const fingerprints: string[] = [];
    for (const type of types) {
      const key = join(folder, type);
      const keygen = requireTool('ssh-keygen', 'openssh-client');
      await runTool(keygen, ['-q', '-t', type, '-N', '', '-f', key]);
      const { stdout } = await runTool(keygen, ['-l', '-f', `${key}.pub`]);
      fingerprints.push(present(stdout.split(' ')[1], 'fingerprint'));
    }
    const config = join(folder, 'sshd_config');
    const keys = types.map((type) => `HostKey ${join(folder, type)}\n`).join('');
    writeFileSync(config, `Port ${STATION_PORTS.ssh}\nPidFile none\nUsePAM no\nAuthenticationMethods none\n${keys}`);
    // Debian's sshd wants /run/sshd, which its service makes. This one is in the private mount namespace of ip-netns(8).
    const prepare = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$0" "$@"';
    const { namespace } = lan.host(host);
    const child = lan.spawn(
      'sh',
      ['-c', prepare, requireTool('sshd', 'openssh-server'), '-D', '-e', '-f', config],
      { stdio: ['ignore', 'ignore', 'pipe'] },
      namespace,
    );
    let said = '';
    child.stderr?.on('data', (text: Buffer) => {
      said += text.toString();
    });
    await eventually(
      () => `sshd listens; it said: ${said}`,
      () => /Server listening on 0\.0\.0\.0/.test(said),
    );
    return new SshServer(child, folder, fingerprints.sort());
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The local network probe of src/network, run where the lan's controller is. */
export class ProbeInLan implements NetworkProbe {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: ProbeReply) => void>();
  #last = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (reply: ProbeReply) => this.#waiting.get(reply.id)?.(reply));
  }

  /** @param wrap a program and its arguments that runs it: setpriv(1) */
  static async start(lan: Lan, wrap: readonly string[] = [], namespace = lan.namespace): Promise<ProbeInLan> {
    const [program = process.execPath, ...args] = [...wrap, process.execPath, compiled('probe-main')];
    const child = lan.spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }, namespace);
    await ready(child, 'probe');
    return new ProbeInLan(child);
  }

  holders(link: string, address: string, call: Call): Promise<readonly string[]> {
    return this.#ask({ method: 'holders', args: [link, address] }, call) as Promise<readonly string[]>;
  }

  check(address: string, check: ServiceCheck, call: Call): Promise<Answer> {
    return this.#ask({ method: 'check', args: [address, check] }, call) as Promise<Answer>;
  }

  sshHostKeys(address: string, port: number, call: Call): Promise<readonly string[]> {
    return this.#ask({ method: 'sshHostKeys', args: [address, port] }, call) as Promise<readonly string[]>;
  }

  async #ask(look: Look, { signal }: Call): Promise<unknown> {
    const id = ++this.#last;
    const replied = new Promise<ProbeReply>((done) => this.#waiting.set(id, done));
    this.#send({ id, look, aborted: signal.aborted });
    const abort = (): void => this.#send({ id, look: null });
    signal.addEventListener('abort', abort, { once: true });
    const reply = await replied;
    signal.removeEventListener('abort', abort);
    this.#waiting.delete(id);
    const { code, message = '' } = reply;
    if (code === undefined) return reply.value;
    if (isErrorCode(code)) throw new UnderstudyError(code satisfies ErrorCode, message);
    throw new Error(message);
  }
  #send(order: ProbeOrder): void {
    this.#child.send(order);
  }
}
