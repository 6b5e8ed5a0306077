// What the search looks for: before a plan, by what the image says; after it, by what the plan has found.
import type { Finding, HostIdentity } from '../contract.ts';
import type { Correspondence } from '../correspondence.ts';
import { type Value, valuesOf } from '../search/mod.ts';
import type { FileTree } from '../tree/mod.ts';
import { machineIdsIn, machineIdsOf, unchanged } from './machine-ids.ts';
import { correspondIn } from './network-formats.ts';
import { sshFingerprints } from './ssh-host-keys.ts';

/** The same for all that is asked of one image, so that it is searched once. */
export async function valuesIn(tree: FileTree, lead: HostIdentity | null): Promise<readonly Value[]> {
  const image = unchanged(tree);
  const hostKeys = lead === null ? [] : await sshFingerprints(image);
  const macs = lead === null ? [] : (await correspondIn(image, lead, null)).macs;
  return valuesOf(lead, { machineIds: await machineIdsOf(tree), hostKeys, macs });
}

export function valuesBefore(
  lead: HostIdentity,
  findings: readonly Finding[],
  { macs }: Correspondence,
): readonly Value[] {
  const keys = findings.filter(({ rule }) => rule === 'ssh-host-keys');
  const hostKeys = [...new Set(keys.flatMap(({ value }) => value.match(/SHA256:\S+/g) ?? []))].sort();
  return valuesOf(lead, { machineIds: machineIdsIn(findings), hostKeys, macs });
}
