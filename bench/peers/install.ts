// Installs rivals and digest candidates that come from npm, each into a folder of its own under .cache. Opt-in, since they
// need a compiler and belong to nobody but the benchmarks.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireTool, runTool } from '../../src/base/mod.ts';
import { peerFolder } from '../rig/peers.ts';

interface PeerPackage {
  readonly name: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
  /** Packages in it that are built on this machine: npm 11.19 and newer runs the install steps of these only. */
  readonly built: readonly string[];
  /** What must load afterwards. */
  readonly probe: string;
}

const packages: readonly PeerPackage[] = [
  {
    name: 'etcher-sdk',
    dependencies: { 'etcher-sdk': '10.2.15' },
    // It asks for a commit of a fork that only git can fetch; copies of raw images use neither.
    overrides: { 'unbzip2-stream': '1.4.3' },
    built: ['drivelist', 'lzma-native', 'mountutils', 'usb', 'xxhash-addon', '@ronomon/direct-io'],
    probe: "require('etcher-sdk').multiWrite.pipeSourceToDestinations.length",
  },
  {
    name: 'digest',
    dependencies: { '@node-rs/xxhash': '1.7.8', '@napi-rs/blake-hash': '1.3.6' },
    built: [],
    probe: "require('@node-rs/xxhash').xxh3 && require('@napi-rs/blake-hash').blake3",
  },
];

const MINUTES_MAX_MS = 10 * 60_000;

/** Installs what it can and says for each what became of it; a failure leaves that one absent. */
export async function installPeers(say: (line: string) => void): Promise<void> {
  for (const wanted of packages) {
    const problem = await install(wanted);
    say(`${wanted.name}: ${problem === null ? 'installed' : `absent, ${problem}`}`);
  }
}

async function install(wanted: PeerPackage): Promise<string | null> {
  const npm = requireTool('npm', 'npm');
  const folder = peerFolder(wanted.name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { dependencies, overrides } = wanted;
  const allowScripts = Object.fromEntries(wanted.built.map((name) => [name, true]));
  const manifest = { name: `understudy-bench-${wanted.name}`, private: true, dependencies, overrides, allowScripts };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2));
  const steps = [
    [npm, ['--prefix', folder, 'install', '--no-audit', '--no-fund', '--ignore-scripts']],
    [npm, ['--prefix', folder, 'rebuild']],
    [process.execPath, ['--input-type=module', '-e', `process.chdir(${JSON.stringify(folder)}); ${probeOf(wanted)}`]],
  ] as const;
  for (const [program, args] of steps) {
    const result = await runTool(program, args, { timeoutMs: MINUTES_MAX_MS, env: withoutNpmSettings() });
    if (result.status !== 0) return result.stderr.trim().split('\n').at(-1) ?? `status ${result.status}`;
  }
  writeFileSync(join(folder, 'installed'), '');
  return null;
}

/** npm gives its own settings to what it runs, and they would count before those in the peer's folder. */
function withoutNpmSettings(): NodeJS.ProcessEnv {
  const names = Object.keys(process.env).filter((name) => name.startsWith('npm_config_'));
  return Object.fromEntries(names.map((name) => [name, undefined]));
}

function probeOf(wanted: PeerPackage): string {
  const from = JSON.stringify(join(peerFolder(wanted.name), 'package.json'));
  return `const require = (await import('node:module')).createRequire(${from}); ${wanted.probe}`;
}
