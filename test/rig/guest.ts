// A guest that runs for a test without a network of its own: QEMU forwards two ports of loopback to it. Its volume is a file.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { GATEWAY, GUEST_APPEND, GUEST_MEMORY_MIB, type GuestIdentity, type Guests } from '../../guests/mod.ts';
import { requireTool, runTool, spawnBound } from '../../src/base/mod.ts';
import { freePort } from '../support/nbd-server.ts';
import { patience } from './patience.ts';
import { eventually } from './wait.ts';

/** Emulated, on two processors that others use too, a boot takes 10 to 60 seconds. */
export const BOOT_PATIENCE_MS = patience(240_000);
const ANSWER_MS = patience(20_000);
/** Of the package ovmf. */
const UEFI = '/usr/share/ovmf/OVMF.fd';

export interface GuestStart {
  /** BIOS, or a UEFI that remembers nothing, starts what the volume has for it, in place of a kernel from outside. @default false */
  readonly fromDisk?: boolean | 'uefi';
  /** More for the kernel from outside. */
  readonly append?: string;
}

export class RunningGuest {
  /** Of its web server, from outside. */
  readonly url: string;
  readonly #ssh: readonly string[];
  readonly #serial: string;
  readonly #child: ChildProcess;

  private constructor(url: string, ssh: readonly string[], serial: string, child: ChildProcess) {
    this.url = url;
    this.#ssh = ssh;
    this.#serial = serial;
    this.#child = child;
  }

  static async start(
    guests: Pick<Guests, 'kernel' | 'initrd' | 'sshKey'>,
    identity: Pick<GuestIdentity, 'address' | 'mac'>,
    volume: string,
    { fromDisk = false, append = '' }: GuestStart = {},
  ): Promise<RunningGuest> {
    const [web, ssh] = [await freePort(), await freePort()];
    const address = identity.address.replace(/\/.*/, '');
    const forward = `hostfwd=tcp:127.0.0.1:${web}-${address}:80,hostfwd=tcp:127.0.0.1:${ssh}-${address}:22`;
    const serial = `${volume}.serial`;
    const args = [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg,thread=multi', '-cpu', 'max'],
      ...['-m', `${GUEST_MEMORY_MIB}M`, '-smp', '2', '-serial', `file:${serial}`],
      ...(fromDisk === 'uefi' ? ['-bios', UEFI] : []),
      ...(fromDisk !== false
        ? []
        : ['-kernel', guests.kernel, '-initrd', guests.initrd, '-append', `${GUEST_APPEND} ${append}`]),
      ...['-drive', `file=${volume},format=raw,if=virtio,discard=unmap`],
      ...['-netdev', `user,id=net0,net=10.90.0.0/24,host=${GATEWAY},restrict=on,${forward}`],
      ...['-device', `virtio-net-pci,netdev=net0,mac=${identity.mac},romfile=`],
      ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
    ];
    const child = spawn(requireTool('qemu-system-x86_64', 'qemu-system-x86'), args, { stdio: 'ignore' });
    const options = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'];
    const login = ['-i', guests.sshKey, '-p', `${ssh}`, ...options, 'root@127.0.0.1'];
    return new RunningGuest(`http://127.0.0.1:${web}`, login, serial, child);
  }

  /** What the guest has said on its serial line. */
  get said(): string {
    return existsSync(this.#serial) ? readFileSync(this.#serial, 'utf8') : '';
  }

  /** Waits until its web server answers a path, and returns the answer. */
  async serves(path: string): Promise<Response> {
    return eventually(
      () => `an answer to ${path}; the guest said: ${this.said.slice(-2000)}`,
      async () => {
        if (this.#child.exitCode !== null) throw new Error(`QEMU ended with status ${this.#child.exitCode}`);
        try {
          const response = await this.fetch(path);
          return response.ok ? response : null;
        } catch {
          // Nobody listens yet, or QEMU accepted for a guest that does not.
          return null;
        }
      },
      BOOT_PATIENCE_MS,
    );
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(ANSWER_MS), redirect: 'manual', ...init });
  }

  /** What `ssh-keyscan` sees of its SSH server: fingerprints of host keys, sorted. */
  async hostKeys(): Promise<readonly string[]> {
    const port = this.#ssh[this.#ssh.indexOf('-p') + 1] ?? '';
    const scan = await runTool(requireTool('ssh-keyscan', 'openssh-client'), ['-T', '30', '-p', port, '127.0.0.1']);
    const shown = await runTool(requireTool('ssh-keygen', 'openssh-client'), ['-l', '-f', '-'], { input: scan.stdout });
    return [...shown.stdout.matchAll(/SHA256:\S+/g)].map(([print]) => print).sort();
  }

  /** Runs a command as root in the guest. */
  async run(command: string): Promise<string> {
    const done = await runTool(requireTool('ssh', 'openssh-client'), [...this.#ssh, command], {
      timeoutMs: patience(60_000),
    });
    if (done.status !== 0) throw new Error(`${command}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  }

  /** A port of the guest's loopback leads to one of ours, until the connection is ended. */
  forward(port: number, toPort: number): ChildProcess {
    const ssh = requireTool('ssh', 'openssh-client');
    const [host = '', ...rest] = [...this.#ssh].reverse();
    const options = ['-N', '-o', 'ExitOnForwardFailure=yes', '-R', `127.0.0.1:${port}:127.0.0.1:${toPort}`];
    return spawnBound(ssh, [...rest.reverse(), ...options, host], { stdio: 'ignore' });
  }

  /** Waits until the machine has ended by itself. */
  async ended(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    await once(this.#child, 'exit', { signal: AbortSignal.timeout(BOOT_PATIENCE_MS) });
  }

  /** Pulls the plug. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
