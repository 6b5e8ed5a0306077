// The text of a file that says what is started, however it is encoded; '' when there is none.
import { type FileTree, textOf } from '../tree/mod.ts';

const BYTES_MAX = 1024 * 1024;

export async function textAt(tree: FileTree, path: string): Promise<string> {
  const bytes = await tree.read(path, BYTES_MAX);
  return bytes === null ? '' : (textOf(bytes) ?? bytes.toString('latin1'));
}

/** A mode that lets somebody run it. */
export function isRunnable(mode: number): boolean {
  return (mode & 0o111) !== 0;
}
