// Lines of fstab(5) for what was found on the same disk, and so is a part of the system that rules see.
import { type FileTree, readText } from '../../tree/mod.ts';

export interface AttachedLine {
  /** The place as the line writes it, for use in a regular expression. */
  readonly at: string;
  /** Of what is mounted there; '' when it has none. */
  readonly uuid: string;
}

export async function attachedLines(tree: FileTree): Promise<readonly AttachedLine[]> {
  const fstab = tree.attached.length === 0 ? null : await readText(tree, '/etc/fstab');
  const lines: AttachedLine[] = [];
  for (const line of fstab?.status === 'text' ? fstab.text.split('\n') : []) {
    const [what = '', at = ''] = line.trim().split(/\s+/);
    if (what.startsWith('#') || !at.startsWith('/')) continue;
    const place = await tree.place(at);
    const found = tree.attached.find((one) => one.at === place?.path);
    if (found !== undefined) lines.push({ at: at.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), uuid: found.uuid ?? '' });
  }
  return lines;
}

/** The root and all of these, as one regular expression. */
export async function hereIn(tree: FileTree): Promise<string> {
  return ['\\/', ...(await attachedLines(tree)).map(({ at }) => at)].join('|');
}
