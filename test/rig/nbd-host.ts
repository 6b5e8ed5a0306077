// QEMU's own NBD client, as hosts use it: over a Unix socket, TCP, or TLS.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireTool, runTool } from '../../src/base/mod.ts';
import type { TestAuthority } from '../support/authority.ts';

/** Certificates of a client as files that QEMU and libnbd take. */
export interface ClientCredentials {
  readonly folder: string;
  /** What the server's certificate has to vouch for. */
  readonly serverName: string;
  /** @default TLS as QEMU does it by itself */
  readonly priority?: string;
}

/** @param title "host-web1"; null: a client that knows the authority and has no certificate */
export function credentialsIn(
  folder: string,
  authority: string,
  own: { readonly cert: string; readonly key: string } | null,
  serverName: string,
): ClientCredentials {
  mkdirSync(folder, { mode: 0o700, recursive: true });
  const files = { 'ca-cert': authority, 'client-cert': own?.cert, 'client-key': own?.key };
  for (const [name, text] of Object.entries(files)) {
    if (text === undefined) continue;
    writeFileSync(join(folder, `${name}.pem`), text);
    chmodSync(join(folder, `${name}.pem`), 0o600);
  }
  return { folder, serverName };
}

export function credentialsOf(authority: TestAuthority, title: string, serverName: string): ClientCredentials {
  const folder = join(authority.folder, `client-of-${title}`);
  return credentialsIn(folder, authority.authorityPem, authority.pem(title), serverName);
}

/** `qemu-io` and `qemu-img` at an NBD URI. */
export function qemuArguments(
  uri: string,
  credentials: ClientCredentials | null,
  more: readonly string[],
): readonly string[] {
  const url = new URL(uri);
  const socket = url.searchParams.get('socket');
  const server =
    socket === null
      ? ['server.type=inet', `server.host=${url.hostname.replace(/^\[|\]$/g, '')}`, `server.port=${url.port}`]
      : ['server.type=unix', `server.path=${socket}`];
  const name = `export=${decodeURIComponent(url.pathname.slice(1))}`;
  const object: string[] = [];
  const tls: string[] = [];
  if (credentials !== null) {
    const { folder, serverName, priority } = credentials;
    const creds = ['tls-creds-x509', 'id=tls0', 'endpoint=client', `dir=${folder}`];
    object.push('--object', [...creds, ...(priority === undefined ? [] : [`priority=${priority}`])].join(','));
    tls.push('tls-creds=tls0', `tls-hostname=${serverName}`);
  }
  return [...object, '--image-opts', ['driver=nbd', ...server, name, ...tls, ...more].join(',')];
}

/** What one client that tries is answered: status 0 and what it read, or why not. */
export async function tryNbd(
  uri: string,
  credentials: ClientCredentials | null,
  command = 'read 0 512',
): Promise<{ readonly ok: boolean; readonly said: string }> {
  const args = [...qemuArguments(uri, credentials, []), '-c', command];
  const { status, stdout, stderr } = await runTool(requireTool('qemu-io', 'qemu-utils'), args, { timeoutMs: 60_000 });
  return { ok: status === 0, said: `${stdout}${stderr}` };
}

/** Commands one after the other; each is answered when the server has acknowledged it. */
export class NbdHost {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];
  #said = '';

  constructor(uri: string, credentials: ClientCredentials | null = null, reconnectSeconds = 600) {
    const args = qemuArguments(uri, credentials, [`reconnect-delay=${reconnectSeconds}`]);
    this.#child = spawn(requireTool('qemu-io', 'qemu-utils'), args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => this.#read(chunk));
    this.#child.on('exit', () => {
      for (const answer of this.#waiting.splice(0)) answer('the host has ended');
    });
  }

  /** qemu-io asks for the next command when the one before is over. */
  #read(chunk: string): void {
    this.#said += chunk;
    for (let end = this.#said.indexOf('qemu-io> '); end >= 0; end = this.#said.indexOf('qemu-io> ')) {
      const answer = this.#said.slice(0, end);
      this.#said = this.#said.slice(end + 'qemu-io> '.length);
      if (this.#greeted) this.#waiting.shift()?.(answer);
      this.#greeted = true;
    }
  }

  #greeted = false;

  async run(command: string): Promise<string> {
    const answer = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.#child.stdin?.write(`${command}\n`);
    return answer;
  }

  /** Written and flushed; rejects when the server said no. */
  async write(offsetBytes: number, byte: number, lengthBytes: number): Promise<void> {
    const written = await this.run(`write -P ${byte} ${offsetBytes} ${lengthBytes}`);
    if (!written.includes(`wrote ${lengthBytes}/${lengthBytes} bytes`)) throw new Error(`write: ${written}`);
    const flushed = await this.run('flush');
    if (/failed|error|ended/i.test(flushed)) throw new Error(`flush: ${flushed}`);
  }

  /** Rejects when the server said no, or the bytes are others. */
  async expectByte(offsetBytes: number, byte: number, lengthBytes: number): Promise<void> {
    const read = await this.run(`read -P ${byte} ${offsetBytes} ${lengthBytes}`);
    if (!read.includes(`read ${lengthBytes}/${lengthBytes} bytes`) || read.includes('Pattern verification failed')) {
      throw new Error(`read: ${read}`);
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
