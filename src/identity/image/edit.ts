// Changes to the files of an ext file system, by one run of debugfs(8) for all of them. Its command language takes one
// line a command and quotes by doubling; only names without control characters get in.
import { type FileEdit, nameOf, type Owned, parentOf } from '../tree/mod.ts';
import { type Sources, withSources } from './sources.ts';
import { identityFailed, runBounded, summary } from './tool.ts';

/** Of an attribute. The attribute itself may hold anything; it goes by a file. */
const ATTRIBUTE_NAME = /^[A-Za-z0-9._-]{1,255}$/;

/** S_IFREG of inode(7). */
const REGULAR = 0o100000;
/** S_IFDIR. */
const FOLDER = 0o040000;

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
  await withSources(folder, async (sources) => {
    const commands: string[] = [];
    for (const [index, edit] of edits.entries()) commands.push(...(await commandsOf(edit, `${index}`, sources)));
    const outcome = await runBounded('debugfs', ['-w', '-f', '-', path], signal, {
      input: `${commands.join('\n')}\n`,
    });
    if (!outcome.ended) throw identityFailed(outcome.why);
    // It goes on after a command that failed, and its status does not tell; whatever it says beside its name is a
    // complaint.
    const complaints = outcome.result.stderr
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('debugfs 1.'));
    if (outcome.result.status !== 0 || complaints.length > 0) {
      throw identityFailed(`the image could not be changed: ${summary(outcome.result)}`);
    }
  });
}

async function commandsOf(edit: FileEdit, own: string, sources: Sources): Promise<string[]> {
  const path = quote(edit.path);
  const name = quote(nameOf(edit.path));
  const { state } = edit;
  // "write" and "symlink" take a name in the current folder; the others a path, which is never mistaken for "<inode>".
  const commands = [`cd ${quote(parentOf(edit.path))}`];
  // There is no command that renames; neither of these two looks at the number of names.
  if (state.kind === 'renamed') commands.push(`ln ${quote(state.from)} ${path}`, `unlink ${quote(state.from)}`);
  if (edit.replaces) commands.push(`rm ${path}`);
  if (state.kind === 'folder-gone') commands.push(`rmdir ${path}`);
  if (state.kind === 'link') commands.push(`symlink ${name} ${quote(state.target)}`);
  if (state.kind === 'folder' && state.make) commands.push(`mkdir ${name}`);
  if (state.kind === 'folder') commands.push(...(await ownedBy(edit.path, FOLDER, state, own, sources)));
  if (state.kind === 'file') {
    const from = await sources.put(own, state.bytes);
    commands.push(`write ${quote(from)} ${name}`, ...(await ownedBy(edit.path, REGULAR, state, own, sources)));
  }
  return commands;
}

async function ownedBy(whole: string, type: number, owned: Owned, own: string, sources: Sources): Promise<string[]> {
  const path = quote(whole);
  const { mode, uid, gid, attributes, modified } = owned;
  const commands = [
    `sif ${path} mode 0${(type | mode).toString(8)}`,
    `sif ${path} uid ${uid}`,
    `sif ${path} gid ${gid}`,
  ];
  for (const [index, attribute] of attributes.entries()) {
    if (!ATTRIBUTE_NAME.test(attribute.name))
      throw identityFailed(`${whole} has an extended attribute with an odd name`);
    const value = await sources.put(`${own}-${index}`, attribute.value);
    commands.push(`ea_set -r -f ${quote(value)} ${path} ${attribute.name}`);
  }
  if (modified !== undefined) commands.push(`sif ${path} mtime @${modified}`);
  return commands;
}

function quote(text: string): string {
  if (/[\p{Cc}\p{Cs}]/u.test(text)) throw identityFailed('a name with control characters cannot be used');
  return `"${text.replaceAll('"', '""')}"`;
}
