// One NBD server by many names is one source: there is one producer, and each block is read once. Two servers are two
// sources, however alike their names are. The server holds back all reads until every copy has joined, so nothing
// depends on time.
import { readFileSync, symlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';
import { freePort } from '../support/nbd-server.ts';

const BLOCK = 64 * 1024;
const BLOCKS = 12;
const SHAPE = ['--block-size', String(BLOCK), '--buffer', String(8 * BLOCK), '--on-slow', 'pace'];
const content = (seed: number): Buffer => randomBytesOf(seed, BLOCKS * BLOCK);

/** Machines without IPv6 are tested with what they have. */
const hasIpv6 = readFileSync('/proc/net/if_inet6', 'utf8').includes('00000000000000000000000000000001');

/** Copies from each name, all before the first block can be read; then says how many producers there were. */
async function copyFromEach(stage: Stage, names: readonly string[], gates: readonly GatedSource[]): Promise<number> {
  const copies = names.map((name, index) => stage.copyJson(...SHAPE, name, stage.target(`t${index}`)));
  const running = await eventually('all have joined', async () => {
    for (const copy of copies) if (!copy.running) await copy.good();
    const all = await stage.copies();
    return all.flatMap(({ consumers }) => consumers).length === names.length ? all : null;
  });
  expect(stage.producers.map(({ pid }) => pid).sort()).toEqual(running.map(({ producerPid }) => producerPid).sort());
  for (const gate of gates) gate.open();
  await Promise.all(copies.map((copy) => copy.good()));
  return running.length;
}

function expectOneReading(stage: Stage, source: GatedSource, image: Buffer): void {
  expect(source.reads.map(({ offsetBytes }) => offsetBytes / BLOCK)).toEqual([...Array(BLOCKS).keys()]);
  for (const name of stage.targets) expect([name, stage.difference(name, image)]).toEqual([name, null]);
}

/** Hosts that lead to 127.0.0.1, and to a server on it. */
const LOOPBACK = ['127.0.0.1', 'localhost', 'LOCALHOST', '', '127.1', '%6cocalhost', '[::ffff:127.0.0.1]'];

test.concurrent('source - one NBD server by every spelling of its address has one producer and is read once', () =>
  onStage(async (stage) => {
    const port = await freePort();
    const source = await GatedSource.start(stage, content(1), 0, { address: '127.0.0.1', port });
    const names = LOOPBACK.flatMap((host) => [`nbd://${host}:${port}/`]);
    names.push(`nbd://localhost:${port}`, `NBD://127.0.0.1:0${port}/`, `nbd://somebody@localhost:${port}/?`);
    expect(await copyFromEach(stage, names, [source])).toBe(1);
    expectOneReading(stage, source, content(1));
    // Each leads there also when it is the first.
    for (const name of names) await stage.copyJson('--yes', name, stage.target('t0')).good();
    expect(stage.difference('t0', content(1))).toBe(null);
  }));

test.concurrent('source - an NBD server that listens on every address is one, whichever of them is named', () =>
  onStage(async (stage) => {
    const port = await freePort();
    const source = await GatedSource.start(stage, content(2), 0, { address: null, port });
    const hosts = ['127.0.0.1', '127.0.0.2', 'localhost', '0.0.0.0', hostname()];
    if (hasIpv6) hosts.push('[::1]', '[0:0:0:0:0:0:0:1]', '[::]');
    const names = hosts.map((host) => `nbd://${host}:${port}/`);
    expect(await copyFromEach(stage, names, [source])).toBe(1);
    expectOneReading(stage, source, content(2));
  }));

test.concurrent('source - exports of one name by every spelling are one, exports of two names are two', () =>
  onStage(async (stage) => {
    const port = await freePort();
    const source = await GatedSource.start(stage, content(3), 0, { address: '127.0.0.1', port });
    const names = ['golden/a b', 'golden/%61%20b', 'Golden/a%20b'].map((name) => name.replace(' ', '%20'));
    expect(
      await copyFromEach(
        stage,
        names.map((name) => `nbd://localhost:${port}/${name}`),
        [source],
      ),
    ).toBe(2);
  }));

test.concurrent('source - one Unix socket by every path to it has one producer and is read once', () =>
  onStage(async (stage) => {
    const source = await GatedSource.start(stage, content(4), 0);
    const socket = join(source.folder, 'socket');
    symlinkSync(source.folder, stage.path('folder'));
    symlinkSync(socket, stage.path('link'));
    const paths = [socket, stage.path('folder/socket'), stage.path('link'), relative(process.cwd(), socket)];
    paths.push(`${source.folder}/./../${basename(source.folder)}/socket`, socket.replace('/socket', '/%73ocket'));
    const names = paths.map((path) => `nbd+unix:///?socket=${path}`);
    expect(await copyFromEach(stage, [...names, `NBD+UNIX:///?socket=${socket}`], [source])).toBe(1);
    expectOneReading(stage, source, content(4));
  }));

test.concurrent('source - two NBD servers at one port of two addresses are two sources', () =>
  onStage(async (stage) => {
    const port = await freePort();
    const addresses = ['127.0.0.1', '127.0.0.2', ...(hasIpv6 ? ['::1'] : [])];
    const sources: GatedSource[] = [];
    for (const [seed, address] of addresses.entries()) {
      sources.push(await GatedSource.start(stage, content(10 + seed), 0, { address, port }));
    }
    const names = addresses.map((address) => `nbd://${address.includes(':') ? `[${address}]` : address}:${port}/`);
    expect(await copyFromEach(stage, names, sources)).toBe(addresses.length);
    for (const [seed] of addresses.entries()) expect(stage.difference(`t${seed}`, content(10 + seed))).toBe(null);
  }));

test.concurrent('source - the same address in another network namespace is another server', () =>
  onStage(async (stage) => {
    const port = await freePort();
    const source = await GatedSource.start(stage, content(20), 0, { address: '127.0.0.1', port });
    const here = stage.copyJson(...SHAPE, `nbd://127.0.0.1:${port}/`, stage.target('here'));
    await stage.sees('the copy here', ({ consumers }) => consumers.length === 1);
    const other = stage.write('other', content(21));
    const serve = `ip link set lo up && exec nbdkit -f -i 127.0.0.1 -p ${port} file ${other.path} --run "$*"`;
    const there = stage.run(['copy', '--json', '--quiet', `nbd://127.0.0.1:${port}/`, stage.target('there')], {
      wrap: ['unshare', '--net', 'sh', '-c', serve, 'sh'],
    });
    await there.good();
    source.open();
    await here.good();
    expect(stage.difference('there', other.content)).toBe(null);
    expect(stage.difference('here', content(20))).toBe(null);
  }));

test.concurrent('target - one NBD export by two names is one target: in one request, and of two copies', () =>
  onStage(async (stage) => {
    const image = stage.image('image', BLOCKS * BLOCK);
    const server = await stage.nbdkit({ tcp: true, plugin: ['memory', '1M'] });
    const [one, other] = [server.uri, server.uri.replace('127.0.0.1', 'localhost')];
    const twins = stage.copyJson(image.path, one, other);
    expect((await twins.ended).status).toBe(2);
    expect(twins.stderr).toContain('are the same target');
    const first = stage.copyJson(...SHAPE, '--limit', '128K', image.path, one);
    await stage.sees('the first copy', ({ consumers }) => consumers.length === 1);
    const second = await stage.copyJson(...SHAPE, image.path, other).result();
    expect(second.targets[0]?.error?.code).toBe('TARGET_BUSY');
    first.signal('SIGINT');
    await first.ended;
  }));
