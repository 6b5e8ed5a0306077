// The volumes: there, of a size that fits, and used by nobody but the storage node.
import { accessSync, constants } from 'node:fs';
import { formatBytes, UnderstudyError } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { checkTarget } from '../../src/replication/mod.ts';
import { checked, type Finding, failure, warning } from './check.ts';

const SECTOR_BYTES = 512;
const REMEDY = 'make it, or correct volumes in the configuration';

export async function* examineVolumes(configuration: Configuration): AsyncIterable<Check> {
  const sizes = new Map<string, number>();
  for (const { name, path } of configuration.volumes.values()) {
    yield checked('volume', `${name} (${path})`, REMEDY, async () => {
      const { kind, sizeBytes } = await checkTarget({ target: path, sourceIdentity: '' });
      if (kind === 'new-file' || sizeBytes === null) throw new UnderstudyError('TARGET_NOT_FOUND', 'it does not exist');
      accessSync(path, constants.R_OK | constants.W_OK);
      sizes.set(name, sizeBytes);
      if (sizeBytes === 0 || sizeBytes % SECTOR_BYTES !== 0) {
        return failure(`${sizeBytes} bytes are no disk`, `its size has to be a multiple of ${SECTOR_BYTES} bytes`);
      }
      return `${kind === 'block' ? 'block device' : 'file'} of ${formatBytes(sizeBytes)}, in nobody else's use`;
    });
  }
  for (const service of configuration.services.values()) {
    yield checked('sizes', service.name, null, () => sizesOf(configuration, service.lead, service.pool, sizes));
  }
}

function sizesOf(
  { hosts }: Configuration,
  lead: string,
  pool: readonly string[],
  sizes: ReadonlyMap<string, number>,
): Finding | string {
  const sizeOf = (host: string): number | undefined => sizes.get(hosts.get(host)?.volume ?? '');
  const needed = sizeOf(lead);
  if (needed === undefined) return warning(`not known: the volume of ${lead} could not be looked at`, 'see above');
  const small = pool.filter((host) => (sizeOf(host) ?? needed) < needed);
  if (small.length === 0) return `the disk of ${lead} fits on those of its pool`;
  return failure(
    `the disk of ${lead} (${formatBytes(needed)}) does not fit on that of ${small.join(', ')}`,
    'enlarge their volumes, or take them out of the pool',
  );
}
