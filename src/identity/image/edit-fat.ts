// Changes to the files of a FAT file system, by mtools(1).
import type { FileEdit } from '../tree/mod.ts';
import { withSources } from './sources.ts';
import { identityFailed, runBounded, summary } from './tool.ts';

/** What mtools take for a pattern, an escape or a drive, and what FAT does not know. */
const ODD = /[^A-Za-z0-9 _.+,=@()~!#$%&'^`{}/-]/;
/** They would rather see the geometry of floppy disks, and nobody's own settings. */
const ENVIRONMENT = { MTOOLS_SKIP_CHECK: '1', MTOOLSRC: '/dev/null' };

/**
 * In this order. Owners and modes it does not have.
 * @param path of the file system
 * @param folder private; what is to be written lies there for a while
 * @throws IDENTITY_FAILED at the first that cannot be made
 */
export async function editFat(
  path: string,
  edits: readonly FileEdit[],
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const run = async (
    tool: 'mcopy' | 'mdel' | 'mmd' | 'mrd' | 'mren',
    edit: FileEdit,
    args: readonly string[],
  ): Promise<void> => {
    const done = await runBounded(tool, ['-i', path, ...args], signal, { environment: ENVIRONMENT });
    if (!done.ended) throw identityFailed(done.why);
    if (done.result.status !== 0) throw identityFailed(`${edit.path} could not be changed: ${summary(done.result)}`);
  };
  await withSources(folder, async (sources) => {
    for (const [index, edit] of edits.entries()) {
      const { state, replaces } = edit;
      const name = nameFor(edit.path);
      if (state.kind === 'link') throw identityFailed(`${edit.path} would be a link, which FAT does not know`);
      if (state.kind === 'renamed') await run('mren', edit, [nameFor(state.from), name]);
      if (replaces) await run('mdel', edit, [name]);
      if (state.kind === 'folder-gone') await run('mrd', edit, [name]);
      if (state.kind === 'folder' && state.make) await run('mmd', edit, [name]);
      if (state.kind === 'file') await run('mcopy', edit, [await sources.put(`${index}`, state.bytes), name]);
    }
  });
}

function nameFor(path: string): string {
  if (ODD.test(path)) throw identityFailed('a name with such characters cannot be used on FAT');
  return `::${path}`;
}
