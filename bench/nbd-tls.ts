// What TLS and a gateway cost a host: one client at the daemon that holds the volume, directly and through a gateway,
// in plain text and encrypted, each beside the plain connection to the daemon itself.
import { closeSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatBytes, limits } from '../src/base/mod.ts';
import { listenTcp } from '../src/linux/mod.ts';
import {
  distinguishedNameOf,
  initAuthority,
  issueCertificate,
  readCertificates,
  readKeyPair,
  type Subject,
} from '../src/pki/mod.ts';
import { gatewayArguments } from '../src/storage/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { type ControlGroup, cgroupObstacle, makeGroup } from './rig/cgroup.ts';
import { writeRandomImage } from './rig/image.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';
import { run, start } from './rig/run.ts';
import type { Workbench } from './rig/workbench.ts';

const ROUNDS = 7;
const VOLUME_BYTES = limits.GIB;
const NODE = 'san-a';
const HOST = 'web1';
/** Number of the listening socket in a server. */
const LISTENER = 3;
const FIRST_PORT = 24_810;
const READY_MS_MAX = 20_000;
const REQUESTS = [
  { name: 'read 64 KiB, 16 at a time', bytes: 64 * limits.KIB, depth: 16, write: false, share: 1 },
  { name: 'write 64 KiB, 16 at a time', bytes: 64 * limits.KIB, depth: 16, write: true, share: 1 },
  { name: 'read 4 KiB, one at a time', bytes: 4 * limits.KIB, depth: 1, write: false, share: 1 / 16 },
] as const;

type Requests = (typeof REQUESTS)[number];

interface Way {
  readonly name: string;
  readonly tls: boolean;
  readonly port: number;
}

const PLAIN: Way = { name: 'TCP, directly', tls: false, port: FIRST_PORT };
const OTHERS: readonly Way[] = [
  { name: 'TLS, directly', tls: true, port: FIRST_PORT + 1 },
  { name: 'TCP, gateway', tls: false, port: FIRST_PORT + 2 },
  { name: 'TLS, gateway', tls: true, port: FIRST_PORT + 3 },
];

interface Cost {
  readonly bytesPerSecond: number;
  /** Of client and servers together. */
  readonly processorSecondsPerGb: number;
}

export const nbdTls: Question = { name: 'nbd-tls', run: runNbdTls };

async function runNbdTls(bench: Bench): Promise<Report> {
  const { workbench, options } = bench;
  const bytes = options.sizeBytes ?? VOLUME_BYTES;
  const folder = workbench.memoryFolder;
  const credentials = await makeCredentials(folder);
  const tables: Table[] = [];
  for (const requests of REQUESTS) {
    const rows: string[][] = [];
    const [image, source] = [join(folder, 'volume.raw'), join(folder, 'source.raw')];
    const imageBytes = bytes * requests.share;
    // Holes would be sent as such, without a byte of data.
    for (const path of [image, source]) writeRandomImage(path, imageBytes);
    for (const way of OTHERS) {
      bench.say(`nbd-tls: ${requests.name}, ${way.name}`);
      const measured = (one: Way) => () =>
        workbench.scope(() =>
          measure({ workbench, image, source, bytes: imageBytes, credentials, folder }, one, requests),
        );
      const runs = await alternate(options.rounds ?? ROUNDS, measured(way), measured(PLAIN));
      const rate = ({ bytesPerSecond }: Cost): number => bytesPerSecond;
      const cost = ({ processorSecondsPerGb }: Cost): number => processorSecondsPerGb;
      rows.push([
        way.name,
        formatSpread(spreadOf(runs.a.map((one) => rate(one) / 1e6)), 0),
        formatSpread(spreadOf(runs.b.map((one) => rate(one) / 1e6)), 0),
        formatSpread(ratiosOf(runs, rate, rate)),
        formatSpread(spreadOf(runs.a.map(cost))),
        formatSpread(spreadOf(runs.b.map(cost))),
        formatSpread(ratiosOf(runs, cost, cost)),
      ]);
    }
    const columns = ['way', 'MB/s', 'plain, MB/s', 'ratio', 'processor s/GB', 'plain, s/GB', 'ratio of s/GB'];
    tables.push({ heading: requests.name, columns, rows });
  }
  return {
    name: 'nbd-tls',
    title: 'NBD with and without TLS',
    method:
      `nbdcopy with one connection, a volume of ${formatBytes(bytes)} in memory (a sixteenth of that for 4 KiB), over loopback: the daemon that holds it serves TCP or TLS itself ` +
      '("directly"), or a gateway stands in front of it. Each way in turn with plain TCP from that daemon. Processor time is that of ' +
      'client, gateway and daemon together.',
    target: 'told, not bounded: what encryption costs beside the plain text that it replaces.',
    tables,
    notes: cgroupObstacle() === null ? [] : [`processor time: not measured, ${cgroupObstacle()}`],
  };
}

const CLIENT: Subject = { kind: 'host', name: HOST, role: null };

interface Credentials {
  readonly server: string;
  readonly client: string;
}

async function makeCredentials(parent: string): Promise<Credentials> {
  const folder = join(parent, 'pki');
  await initAuthority({ folder });
  await issueCertificate({ folder, subject: { kind: 'node', name: NODE, role: null }, addresses: ['127.0.0.1'] });
  await issueCertificate({ folder, subject: CLIENT });
  const certificates = await readCertificates(folder);
  const write = async (end: 'server' | 'client', kind: 'node' | 'host', name: string): Promise<string> => {
    const { certificate, key } = await readKeyPair(certificates, kind, name);
    const place = join(parent, end);
    mkdirSync(place, { mode: 0o700 });
    const files = { 'ca-cert': certificates.authorityPem, [`${end}-cert`]: certificate.pem, [`${end}-key`]: key };
    for (const [file, text] of Object.entries(files)) writeFileSync(join(place, `${file}.pem`), text, { mode: 0o600 });
    return place;
  };
  return { server: await write('server', 'node', NODE), client: await write('client', 'host', HOST) };
}

interface Place {
  readonly workbench: Workbench;
  readonly image: string;
  /** What is written to it. */
  readonly source: string;
  readonly bytes: number;
  readonly credentials: Credentials;
  readonly folder: string;
}

/** Servers of their own for each run, so that nobody inherits a warm one. */
async function measure(place: Place, way: Way, requests: Requests): Promise<Cost> {
  const { workbench, image, bytes, credentials, folder } = place;
  const group = makeGroup(workbench);
  const socket = join(folder, workbench.uniqueName('nbd'));
  const tls = way.tls ? { folder: credentials.server, distinguishedName: distinguishedNameOf(CLIENT) } : null;
  const front = gatewayArguments({
    listener: LISTENER,
    volumesSocket: socket,
    volumes: [{ name: HOST, exportName: 'volume' }],
    tls,
  });
  const file = { driver: 'file', 'node-name': 'v-web1-main', filename: image, discard: 'unmap' };
  if (way.name.endsWith('directly')) {
    // The same command line as a gateway's, with the volume itself instead of the way to it.
    await serve(place, group, front.with(front.indexOf('--blockdev') + 1, JSON.stringify(file)), way.port);
  } else {
    const server = ['--nbd-server', `addr.type=unix,addr.path=${socket}`];
    const offered = ['--export', 'type=nbd,id=e,node-name=v-web1-main,name=volume,writable=on'];
    await serve(place, group, ['--blockdev', JSON.stringify(file), ...server, ...offered]);
    await serve(place, group, front, way.port);
  }
  const before = group.cpuSeconds();
  const { seconds } = await run(workbench, group, ['nbdcopy', ...clientArguments(way, place, requests)]);
  return { bytesPerSecond: bytes / seconds, processorSecondsPerGb: (group.cpuSeconds() - before) / (bytes / 1e9) };
}

/** https://libguestfs.org/nbdcopy.1.html; qemu-img bench cannot be given certificates. */
function clientArguments(way: Way, place: Place, requests: Requests): readonly string[] {
  const { bytes, depth, write } = requests;
  const certificates = way.tls ? `?tls-certificates=${encodeURI(place.credentials.client)}` : '';
  const uri = `${way.tls ? 'nbds' : 'nbd'}://127.0.0.1:${way.port}/${HOST}${certificates}`;
  const options = ['--connections=1', '--threads=1', `--requests=${depth}`, `--request-size=${bytes}`];
  return [...options, ...(write ? [place.source, uri] : [uri, 'null:'])];
}

/** Starts a daemon; it is ready when it has written its number, after all else on its command line. */
async function serve(
  { workbench, folder }: Place,
  group: ControlGroup,
  args: readonly string[],
  port: number | null = null,
): Promise<void> {
  const ready = join(folder, workbench.uniqueName('ready'));
  const inherited = port === null ? [] : [listenTcp({ address: '127.0.0.1', family: 4, port })];
  const daemon = start(workbench, group, ['qemu-storage-daemon', ...args, '--pidfile', ready], inherited);
  for (const fd of inherited) closeSync(fd);
  workbench.defer(async () => {
    process.kill(daemon.pid, 'SIGTERM');
    await daemon.finished;
  });
  const deadline = performance.now() + READY_MS_MAX;
  while (!existsSync(ready)) {
    if (performance.now() > deadline) throw new Error('a storage daemon does not come up');
    await delay(5);
  }
}
