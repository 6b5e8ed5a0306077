// Copies one image with etcher-sdk, the way balenaEtcher uses it: a file as source, direct writes, all targets in one
// process. Started by the benchmarks; etcher-sdk lies in a folder of its own and is no dependency of this project.
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { present } from '../../src/base/mod.ts';

interface Failures {
  readonly failures: ReadonlyMap<unknown, Error>;
}

/** The few parts of etcher-sdk 10 that are used here. */
interface EtcherSdk {
  readonly sourceDestination: {
    readonly File: new (options: { path: string }) => object;
    readonly BlockDevice: new (options: object) => object;
  };
  readonly multiWrite: {
    pipeSourceToDestinations(options: {
      source: object;
      destinations: object[];
      verify: boolean;
      onFail: (destination: unknown, error: Error) => void;
      onProgress: () => void;
    }): Promise<Failures>;
  };
}

const words = process.argv.slice(2);
const folder = present(words.shift(), 'the folder of etcher-sdk');
const verify = words.includes('--verify');
const [source, ...targets] = words.filter((word) => !word.startsWith('--'));
if (words.includes('--version')) {
  const manifest = readFileSync(join(folder, 'node_modules/etcher-sdk/package.json'), 'utf8');
  console.log(`etcher-sdk ${(JSON.parse(manifest) as { version: string }).version}`);
} else {
  await copyAll(present(source, 'a source'), targets);
}

async function copyAll(path: string, paths: readonly string[]): Promise<void> {
  const sdk = createRequire(join(folder, 'package.json'))('etcher-sdk') as EtcherSdk;
  const size = statSync(path).size;
  const destinations = paths.map((raw) => {
    const drive = { raw, device: raw, devicePath: null, size, blockSize: 4096, isReadOnly: false, isSystem: false };
    const parts = { ...drive, mountpoints: [], description: raw };
    return new sdk.sourceDestination.BlockDevice({ drive: parts, write: true, direct: true, keepOriginal: true });
  });
  const { failures } = await sdk.multiWrite.pipeSourceToDestinations({
    source: new sdk.sourceDestination.File({ path }),
    destinations,
    verify,
    onFail: (_destination, error) => console.error(error.message),
    onProgress: () => {},
  });
  // Its scanner and USB parts keep the process alive, so it is ended here.
  process.exit(failures.size === 0 ? 0 : 1);
}
