// A stage whose spare is no virtual machine of ours: a computer with a BMC, switched over IPMI, that finds its disk at
// its gateway on the storage node, over TLS with a certificate of its own, as a diskless computer does. Computer and
// BMC are QEMU and ipmi_sim; both hosts run small guests, so that an engagement takes seconds. The computer can be made
// to keep its power, or to come up without a system.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGuests, GUEST_APPEND, type GuestIdentity, LEAD, SPARE } from '../../guests/mod.ts';
import { Stage, SUBNET } from '../../scripts/loop/stage.ts';
import { FIRST_GATEWAY_PORT, gatewaysOf, STAGE_NODE } from '../../scripts/loop/stage-files.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';
import type { EngagementView, StatusView } from '../../src/controller/mod.ts';
import { Bmc } from './bmc.ts';
import { machinesWith } from './machines.ts';
import { credentialsIn } from './nbd-host.ts';
import { patience } from './patience.ts';
import { makeSmallGuest } from './small-guest.ts';
import { unmount } from './unmount.ts';

const dist = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
/** Ports are given in the order of the configuration: the lead has the one before. */
const SPARE_PORT = FIRST_GATEWAY_PORT + 1;
const STORAGE_ROOM = '128m';
const PHASE_PATIENCE_MS = patience(180_000);

interface Files {
  readonly kernel: string;
  readonly initrd: string;
  readonly folder: string;
}

/**
 * What the BMC starts: a shell that passes a cut of power on to the machine unless a file says that it is stubborn, and
 * starts it without its initial file system where a file says that it is broken.
 */
function computer({ kernel, initrd, folder }: Files): string {
  const server = `server.type=inet,server.host=${SUBNET}.1,server.port=${SPARE_PORT}`;
  const disk = `driver=nbd,node-name=disk,${server},export=${SPARE.hostName},tls-creds=tls0`;
  const machine = [
    ...[
      requireTool('qemu-system-x86_64', 'qemu-system-x86'),
      '-nodefaults',
      '-no-user-config',
      '-display',
      'none',
      '-name',
      `guest=${SPARE.hostName}`,
    ],
    ...[
      '-accel',
      'tcg,thread=multi',
      '-cpu',
      'max',
      '-m',
      '128M',
      '-serial',
      `file:${folder}/${SPARE.hostName}.serial`,
    ],
    ...['-kernel', kernel, '-append', `'${GUEST_APPEND}'`],
    ...['-object', `tls-creds-x509,id=tls0,endpoint=client,dir=${tlsFolder(folder)}`],
    ...['-blockdev', `${disk},reconnect-delay=60`, '-device', 'virtio-blk-pci,drive=disk'],
    ...['-netdev', `tap,id=net0,ifname=tap-${SPARE.hostName},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${SPARE.mac},romfile=`],
  ];
  return [
    `initrd='-initrd ${initrd}'`,
    `[ -e ${folder}/broken ] && initrd=`,
    `${machine.join(' ')} $initrd &`,
    'machine=$!',
    `trap '[ -e ${folder}/stubborn ] || kill $machine' TERM`,
    'while kill -0 $machine 2>/dev/null; do wait $machine; done',
  ].join('\n');
}

/** Where the computer has its certificate. */
function tlsFolder(folder: string): string {
  return join(folder, 'computer-tls');
}

export class BmcStage {
  readonly stage: Stage;
  readonly folder: string;
  readonly #bmc: Bmc;
  readonly #hosts: Parameters<Stage['configure']>[0]['hosts'];

  private constructor(stage: Stage, folder: string, bmc: Bmc) {
    this.stage = stage;
    this.folder = folder;
    this.#bmc = bmc;
    const [lead, spare] = [hostOf(LEAD, 11, folder), hostOf(SPARE, 21, folder)];
    this.#hosts = [lead, { ...spare, bmc: bmc.settings }];
  }

  static async make(): Promise<BmcStage> {
    const guests = await buildGuests({ report: () => undefined, abort: new AbortController().signal });
    const folder = mkdtempSync(join(tmpdir(), 'f'));
    for (const identity of [LEAD, SPARE]) await makeSmallGuest(guests, identity, imageOf(identity, folder));
    const { kernel, initrd } = guests;
    const stage = await Stage.make({
      ...{ folder, kernel, initrd, append: GUEST_APPEND },
      program: dist('run/cli/understudy.js'),
      inside: dist('scripts/loop/inside.js'),
      agent: dist('run/agent/agent.js'),
      hosts: [hostOf(LEAD, 11, folder), hostOf(SPARE, 21, folder)],
      mode: 'automatic',
      objectiveMs: 60_000,
    });
    mkdirSync(join(folder, 'room'));
    await tool('mount', ['-t', 'tmpfs', '-o', `size=${STORAGE_ROOM},mode=700`, 'tmpfs', join(folder, 'room')]);
    const pem = (name: string): string => readFileSync(join(folder, 'pki', name), 'utf8');
    const own = { cert: pem(`host-${SPARE.hostName}.crt`), key: pem(`host-${SPARE.hostName}.key`) };
    credentialsIn(tlsFolder(folder), pem('ca.crt'), own, STAGE_NODE);
    const script = join(folder, 'computer');
    writeFileSync(script, `${computer({ kernel, initrd, folder })}\n`);
    mkdirSync(join(folder, 'bmc'));
    const command = [requireTool('sh', 'dash'), script];
    const place = { folder: join(folder, 'bmc'), netns: stage.lan.namespace };
    const bmc = await Bmc.start({ ...place, command, patienceSeconds: 600 });
    const made = new BmcStage(stage, folder, bmc);
    made.configure({});
    return made;
  }

  /** Writes understudy.yaml anew; it counts from the next start of the controller. */
  configure(timeouts: { readonly off?: string; readonly boot?: string }): void {
    const { off = '1m', boot = '3m' } = timeouts;
    this.stage.configure({
      hosts: this.#hosts ?? [],
      storage: `{ folder: ${this.folder}/room, listen: "${gatewaysOf(SUBNET)}" }`,
      timeouts: `{ off: ${off}, boot: ${boot}, drain: 5s, call: 30s }`,
    });
  }

  /** Takes all room of the storage node, or gives it back. */
  fill(full: boolean): void {
    const filler = join(this.folder, 'room/filler');
    rmSync(filler, { force: true });
    if (!full) return;
    try {
      for (const flag of ['w', 'a', 'a']) writeFileSync(filler, Buffer.alloc(64 * 1024 * 1024, 1), { flag });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }

  /** How the spare is: its power cannot be cut, or it comes up without a system. */
  spoil(how: 'stubborn' | 'broken', spoilt: boolean): void {
    const flag = join(this.folder, how);
    if (spoilt) writeFileSync(flag, '');
    else if (existsSync(flag)) rmSync(flag);
  }

  /** Processes of QEMU that play a host. */
  machines(host: string): readonly number[] {
    return machinesWith(this.folder).filter((pid) => machinesWith(`guest=${host}`).includes(pid));
  }

  async whoAmI(address: string): Promise<{ hostName: string; machineId: string }> {
    const { body } = await this.stage.insider.ask({ url: `http://${address}/whoami.php`, timeoutMs: 5000 });
    return JSON.parse(body) as { hostName: string; machineId: string };
  }

  status(): Promise<StatusView> {
    return this.stage.api<StatusView>('/v1/status');
  }

  /** Waits until an engagement, failed or not, is over and its spare free. */
  async over(name: string): Promise<EngagementView> {
    let last: EngagementView | undefined;
    const seen = async (): Promise<boolean> => {
      const { engagements, services } = await this.status();
      last = engagements.find((one) => one.name === name);
      return services.every((service) => !service.engagements.includes(name));
    };
    await this.stage.until(`${name} is over`, seen, PHASE_PATIENCE_MS);
    if (last === undefined) throw new Error(`${name} is not known`);
    return last;
  }

  async close(): Promise<void> {
    this.spoil('stubborn', false);
    await this.#bmc.kill();
    await this.stage.close();
    await unmount(join(this.folder, 'room'));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function imageOf({ hostName }: GuestIdentity, folder: string): string {
  return join(folder, `${hostName}.small`);
}

function hostOf(identity: GuestIdentity, number: number, folder: string) {
  const { hostName: name, mac } = identity;
  return { name, number, mac, image: imageOf(identity, folder), token: `agent-of-${name}-0123456789` };
}

async function tool(name: string, args: readonly string[]): Promise<void> {
  const done = await runTool(requireTool(name, 'mount'), args);
  if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
}
