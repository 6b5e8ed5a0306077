// What a block device carries, for the person who has to agree to its loss.
import { requireTool, runTool } from '../../base/mod.ts';

const TABLE_NAMES: Readonly<Record<string, string>> = { gpt: 'GPT partition table', dos: 'MBR partition table' };

/** Signatures in words, or null for a device without any. Looks with wipefs(8) --no-act, which also sees contradictory ones. */
export async function describeContents(path: string): Promise<string | null> {
  const wipefs = requireTool('wipefs', 'util-linux');
  const result = await runTool(wipefs, ['--no-act', '--json', '--', path]);
  // A device that cannot be looked at may carry anything.
  if (result.status !== 0) return `unknown data (${result.stderr.trim() || 'it cannot be read'})`;
  const types = new Set(signatureTypes(result.stdout));
  if (types.has('gpt')) types.delete('PMBR');
  if (types.size === 0) return null;
  const words = [...types].map((type) => (Object.hasOwn(TABLE_NAMES, type) ? (TABLE_NAMES[type] ?? type) : type));
  const partitions = types.has('gpt') || types.has('dos') ? await partitionTypes(path) : [];
  return [...words, ...partitions].join(', ');
}

function signatureTypes(json: string): string[] {
  // wipefs prints nothing at all when there is nothing.
  if (json.trim() === '') return [];
  const { signatures } = JSON.parse(json) as { signatures?: { type?: unknown }[] };
  return (signatures ?? []).map(({ type }) => String(type));
}

/** File systems in the partitions, whether or not the kernel has made devices of them. */
async function partitionTypes(path: string): Promise<string[]> {
  const table = await runTool(requireTool('sfdisk', 'fdisk'), ['--dump', '--', path]);
  const places = [...table.stdout.matchAll(/ : start= *(\d+), size= *(\d+)/g)];
  const sector = Number(/^sector-size: (\d+)$/m.exec(table.stdout)?.[1] ?? 512);
  const found: string[] = [];
  for (const [, start, size] of places.slice(0, PARTITIONS_SHOWN)) {
    const place = ['-O', String(Number(start) * sector), '-S', String(Number(size) * sector)];
    const result = await runTool(requireTool('blkid', 'util-linux'), [
      '-p',
      '-o',
      'value',
      '-s',
      'TYPE',
      ...place,
      path,
    ]);
    const type = result.stdout.trim();
    if (result.status === 0 && type !== '') found.push(type);
  }
  const rest = places.length - PARTITIONS_SHOWN;
  return rest > 0 ? [...found, `${rest} more partitions`] : found;
}

const PARTITIONS_SHOWN = 8;

export interface HardwareName {
  readonly model: string | null;
  readonly serial: string | null;
}

/** Model and serial number by lsblk(8), where the device has them. */
export async function hardwareName(diskName: string): Promise<HardwareName> {
  const lsblk = requireTool('lsblk', 'util-linux');
  const result = await runTool(lsblk, ['--json', '--nodeps', '--output', 'MODEL,SERIAL', `/dev/${diskName}`]);
  if (result.status !== 0) return { model: null, serial: null };
  const { blockdevices } = JSON.parse(result.stdout) as { blockdevices?: Record<string, unknown>[] };
  const [device] = blockdevices ?? [];
  return { model: textOf(device?.model), serial: textOf(device?.serial) };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null;
}
