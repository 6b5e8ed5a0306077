// A baseboard management controller for tests: Debian's ipmi_sim(1), whose start command runs a program as the host. The host is
// on while that program runs. It listens on loopback, or on the loopback of a network namespace.
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { findTool, requireTool, runTool } from '../../src/base/mod.ts';
import type { IpmiSettings } from '../../src/power/mod.ts';
import { freeze } from './machines.ts';
import { eventually } from './wait.ts';

export interface BmcOptions {
  /** An empty folder that is there. */
  readonly folder: string;
  /** The program and its arguments that are the host. */
  readonly command: readonly string[];
  /** Network namespace in which BMC and host run. */
  readonly netns?: string;
  /** Seconds that the host has for ending by itself when its power is cut, before it is killed. @default 1 */
  readonly patienceSeconds?: number;
}

const USER = 'admin';
const PASSWORD = 'opensesame';

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

async function freeTcpPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function quoted(argument: string): string {
  return `'${argument.replaceAll("'", "'\\''")}'`;
}

/** ipmi_lan(5). */
function configuration(port: number, systemPort: number, start: string, patienceSeconds: number): string {
  const authentications = ['callback', 'user', 'operator', 'admin'].map((level) => `  allowed_auths_${level} md5`);
  return [
    'name "bmc"',
    'set_working_mc 0x20',
    'startlan 1',
    `  addr 127.0.0.1 ${port}`,
    '  priv_limit admin',
    ...authentications,
    '  guid a123456789abcdefa123456789abcdef',
    'endlan',
    // Nobody needs to connect to the system interface, but without it the BMC does not switch power.
    `serial 15 127.0.0.1 ${systemPort} codec VM`,
    `startcmd "${start}"`,
    'startnow false',
    `poweroff_wait ${patienceSeconds}`,
    `kill_wait ${patienceSeconds}`,
    `user 2 true "${USER}" "${PASSWORD}" admin 10 md5`,
    '',
  ].join('\n');
}

/** ipmi_sim_cmd(5): one management controller. */
const COMMANDS = [
  'mc_setbmc 0x20',
  'mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr',
  'sel_enable 0x20 1000 0x0a',
  'mc_enable 0x20',
  '',
].join('\n');

export class Bmc {
  readonly settings: IpmiSettings;
  readonly #child: ChildProcess;

  private constructor(settings: IpmiSettings, child: ChildProcess) {
    this.settings = settings;
    this.#child = child;
  }

  static async start(options: BmcOptions): Promise<Bmc> {
    const { folder } = options;
    const path = (name: string): string => join(folder, name);
    const port = await freeUdpPort();
    mkdirSync(path('state'));
    // ipmi_sim splits its command at blanks, so the real one is in a script.
    writeFileSync(path('start'), `#!/bin/sh\nexec ${options.command.map(quoted).join(' ')}\n`);
    chmodSync(path('start'), 0o755);
    const lan = configuration(port, await freeTcpPort(), path('start'), options.patienceSeconds ?? 1);
    writeFileSync(path('lan.conf'), lan);
    writeFileSync(path('commands'), COMMANDS);
    writeFileSync(path('password'), `${PASSWORD}\n`, { mode: 0o600 });
    const simulator = [requireTool('ipmi_sim', 'openipmi'), '-n', '-c', path('lan.conf'), '-f', path('commands')];
    const inside = options.netns === undefined ? [] : [requireTool('ip', 'iproute2'), 'netns', 'exec', options.netns];
    const [file = '', ...args] = [...inside, ...simulator, '-s', path('state')];
    const child = spawn(file, args, { stdio: 'ignore' });
    const settings = {
      address: '127.0.0.1',
      port,
      user: USER,
      passwordFile: path('password'),
      cipherSuite: 3,
    } as const;
    const bmc = new Bmc(settings, child);
    try {
      await eventually('the BMC answers', () => bmc.#answers(inside));
    } catch (error) {
      await bmc.kill();
      throw error;
    }
    return bmc;
  }

  async #answers(inside: readonly string[]): Promise<boolean> {
    if (this.#child.exitCode !== null) throw new Error(`ipmi_sim ended with status ${this.#child.exitCode}`);
    const { port, passwordFile } = this.settings;
    const session = ['-I', 'lanplus', '-C', '3', '-H', '127.0.0.1', '-p', String(port), '-U', USER, '-f', passwordFile];
    const tool = findTool('ipmitool') ?? 'ipmitool';
    const [file = '', ...args] = [...inside, tool, ...session, '-R', '1', 'chassis', 'power', 'status'];
    return (await runTool(file, args)).status === 0;
  }

  /** Alive, and silent. */
  async freeze(frozen: boolean): Promise<void> {
    const { pid } = this.#child;
    if (pid !== undefined) await freeze(pid, frozen);
  }

  /** Ends the BMC. The host that it started goes on running. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
