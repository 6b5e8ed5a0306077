// Changes to the files of an ext file system, by one run of debugfs(8) for all of them. Its command language takes one line a
// command and quotes by doubling; only names without control characters get in.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExtendedAttribute } from '../tree/mod.ts';
import { nameOf, parentOf } from '../tree/mod.ts';
import { identityFailed, runE2fs, summary } from './tool.ts';

/** Of an attribute. The attribute itself may hold anything; it goes by a file. */
const ATTRIBUTE_NAME = /^[A-Za-z0-9._-]{1,255}$/;

/** S_IFREG of inode(7). */
const REGULAR = 0o100000;

export interface FileEdit {
  /** Canonical. */
  readonly path: string;
  /** Something has this name now and goes first. */
  readonly replaces: boolean;
  readonly state:
    | { readonly kind: 'gone' }
    | { readonly kind: 'link'; readonly target: string }
    | {
        readonly kind: 'file';
        readonly bytes: Buffer;
        readonly mode: number;
        readonly uid: number;
        readonly gid: number;
        readonly attributes: readonly ExtendedAttribute[];
      };
}

/**
 * @param path of the file system
 * @param folder private; what is to be written lies there for a while
 * @throws IDENTITY_FAILED when debugfs complains about anything
 */
export async function editFiles(
  path: string,
  edits: readonly FileEdit[],
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const sources = join(folder, 'sources');
  await mkdir(sources, { mode: 0o700 });
  try {
    const commands: string[] = [];
    for (const [index, edit] of edits.entries()) commands.push(...(await commandsOf(edit, join(sources, `${index}`))));
    const outcome = await runE2fs('debugfs', ['-w', '-f', '-', path], signal, `${commands.join('\n')}\n`);
    if (!outcome.ended) throw identityFailed(outcome.why);
    // It goes on after a command that failed, and its status does not tell; whatever it says beside its name is a complaint.
    const complaints = outcome.result.stderr
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('debugfs 1.'));
    if (outcome.result.status !== 0 || complaints.length > 0) {
      throw identityFailed(`the image could not be changed: ${summary(outcome.result)}`);
    }
  } finally {
    await rm(sources, { recursive: true, force: true });
  }
}

async function commandsOf(edit: FileEdit, source: string): Promise<string[]> {
  const path = quote(edit.path);
  const name = quote(nameOf(edit.path));
  const { state } = edit;
  // "write" and "symlink" take a name in the current folder; the others a path, which is never mistaken for "<inode>".
  const commands = [`cd ${quote(parentOf(edit.path))}`];
  if (edit.replaces) commands.push(`rm ${path}`);
  if (state.kind === 'link') commands.push(`symlink ${name} ${quote(state.target)}`);
  if (state.kind === 'file') {
    await writeFile(source, state.bytes, { mode: 0o600, flag: 'wx' });
    const mode = `0${(REGULAR | state.mode).toString(8)}`;
    commands.push(`write ${quote(source)} ${name}`, `sif ${path} mode ${mode}`);
    commands.push(`sif ${path} uid ${state.uid}`, `sif ${path} gid ${state.gid}`);
    for (const [index, attribute] of state.attributes.entries()) {
      if (!ATTRIBUTE_NAME.test(attribute.name))
        throw identityFailed(`${edit.path} has an extended attribute with an odd name`);
      const value = `${source}-${index}`;
      await writeFile(value, attribute.value, { mode: 0o600, flag: 'wx' });
      commands.push(`ea_set -r -f ${quote(value)} ${path} ${attribute.name}`);
    }
  }
  return commands;
}

function quote(text: string): string {
  if (/[\p{Cc}\p{Cs}]/u.test(text)) throw identityFailed('a name with control characters cannot be used');
  return `"${text.replaceAll('"', '""')}"`;
}
