// A configuration file as rules want it: text that can be changed, nothing, or the reason why it cannot be.
import type { FileTree } from './contract.ts';
import { printable } from './name-bytes.ts';

/** Above any configuration file of the kinds that have rules; lists of blocked names in /etc/hosts reach some megabytes. */
export const TEXT_BYTES_MAX = 4 * 1024 * 1024;
/** What one command of debugfs(8), twice as long with every character quoted, has room for. */
const PATH_CHARS_MAX = 1024;

export type TextFile =
  /** `path` is canonical. */
  | { readonly status: 'text'; readonly path: string; readonly text: string }
  /** `path` is where it would be; null when its folder does not exist. */
  | { readonly status: 'absent'; readonly path: string | null }
  | { readonly status: 'unusable'; readonly path: string; readonly why: string };

export async function readText(tree: FileTree, path: string): Promise<TextFile> {
  const place = await tree.place(path);
  if (place === null) return { status: 'absent', path: null };
  const unusable = (why: string): TextFile => ({ status: 'unusable', path: place.path, why });
  if (place.path.length > PATH_CHARS_MAX || place.path !== printable(place.path))
    return unusable('its name is too odd');
  const { entry } = place;
  if (entry === null) return { status: 'absent', path: place.path };
  if (entry.kind !== 'file')
    return unusable(`it is a ${entry.kind === 'folder' ? 'folder' : 'device, socket or pipe'}`);
  if (entry.links > 1) return unusable(`it has ${entry.links} names (hard links)`);
  if (entry.sizeBytes > TEXT_BYTES_MAX) return unusable(`it has ${entry.sizeBytes} bytes`);
  const bytes = await tree.read(entry.path, TEXT_BYTES_MAX);
  const text = bytes === null ? null : textOf(bytes);
  return text === null ? unusable('it is not text') : { status: 'text', path: entry.path, text };
}

/** Null for what is not UTF-8 or holds a NUL. */
export function textOf(bytes: Buffer): string | null {
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
