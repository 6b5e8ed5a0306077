// How volumes are called inside the daemon, and where its clients find them. The name of a node or export says what it
// is for, so everything that an earlier life left can be recognized and removed.
import { createHash, randomBytes } from 'node:crypto';
import type { ServerAddress } from './qmp/mod.ts';

/**
 * Nodes of a volume: the storage itself, what exports use, and what a snapshot adds. "main" is a gateway's way to the
 * volume.
 */
export const NODE_PARTS = ['file', 'top', 'cbw', 'view', 'over', 'room', 'disk', 'main'] as const;
export type NodePart = (typeof NODE_PARTS)[number];

/** Exports of a volume: to its host, of its snapshot, and for being overwritten. */
export const EXPORT_PARTS = ['host', 'snap', 'fill'] as const;
export type ExportPart = (typeof EXPORT_PARTS)[number];

/** QEMU's names have at most 31 characters; the longest part takes five with its dash. */
const BASE_CHARACTERS_MAX = 26;

/** What all names of a volume begin with: "v-web1". Long names of volumes are told by their digest. */
export function baseOf(volume: string): string {
  const plain = `v-${volume}`;
  if (plain.length <= BASE_CHARACTERS_MAX) return plain;
  return `h-${createHash('sha256')
    .update(volume)
    .digest('hex')
    .slice(0, BASE_CHARACTERS_MAX - 2)}`;
}

export function nameOf(base: string, part: NodePart | ExportPart): string {
  return `${base}-${part}`;
}

/** The base of a name of ours, or null for any other. */
export function baseOfName(name: string): string | null {
  const match = /^([vh]-.+)-([a-z]+)$/.exec(name);
  const known: readonly string[] = [...NODE_PARTS, ...EXPORT_PARTS];
  return match?.[1] !== undefined && known.includes(match[2] ?? '') ? match[1] : null;
}

/** The NBD name of an export that is no host's: never used twice, so no copy can ever meet another one's. */
export function passingExportName(volume: string, part: 'snap' | 'fill'): string {
  return `${part}/${volume}/${randomBytes(8).toString('hex')}`;
}

/**
 * The NBD name under which the daemon that holds the volumes offers one to one life of a gateway: never used twice, so
 * what an earlier life had under way never reaches the volume.
 */
export function gatewayExportName(volume: string, gateway: string, life: number): string {
  return `gateway/${gateway}/${life}/${volume}`;
}

/** NBD URI: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md */
export function exportUri(address: ServerAddress, name: string): string {
  const encoded = (text: string): string => encodeURIComponent(text).replaceAll('%2F', '/');
  if (address.kind === 'unix') return `nbd+unix:///${encoded(name)}?socket=${encoded(address.path)}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const port = address.port === null ? '' : `:${address.port}`;
  return `${address.tls ? 'nbds' : 'nbd'}://${host}${port}/${encoded(name)}`;
}
