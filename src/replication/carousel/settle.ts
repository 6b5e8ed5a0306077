// What has to be settled of each target before anything is written: that it can be one, and that somebody agreed to what it loses.
import { statSync } from 'node:fs';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import type { TargetResult } from '../consumer/mod.ts';
import type { IdentifiedSource } from '../source/mod.ts';
import { isResumable, type TargetSpec } from '../target/mod.ts';
import { checkTarget, type TargetFacts } from '../target-safety/mod.ts';
import { notCopied } from './crew.ts';
import type { CopyConfig } from './options.ts';
import type { SourceLook } from './source-look.ts';

export type Checked = { readonly spec: TargetSpec } | { readonly result: TargetResult };

/** Checks one target and asks for leave; a refusal is that target's result. */
export async function settleTarget(
  uri: string,
  source: IdentifiedSource,
  look: SourceLook,
  config: CopyConfig,
): Promise<Checked> {
  try {
    const facts = await checkTarget({ target: uri, sourceIdentity: source.storage, sourcePath: source.path });
    return { spec: specOf(uri, facts, await agreed(uri, facts, look, config), source, config) };
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return { result: notCopied(uri, { code, message: messageOf(error) }) };
  }
}

/**
 * Whether what the target holds may be lost. False, and no question, when a disk holds what an interrupted copy of ours left:
 * then only that may be gone on with, and the worker looks again when it has the disk for itself.
 * @throws TARGET_NOT_CONFIRMED
 */
async function agreed(uri: string, facts: TargetFacts, look: SourceLook, config: CopyConfig): Promise<boolean> {
  if (config.overwrite) return true;
  if (config.resume && facts.disk !== null && isResumable(facts.path, uri, facts.disk)) return false;
  const doubt = facts.kind === 'new-file' ? null : await look.doubt();
  // Only the one connection to an NBD target can look at what it holds, and by then nobody can be asked.
  if (!facts.needsConfirmation && doubt === null) return facts.kind !== 'nbd';
  if ((await config.confirm?.(facts, doubt)) === true) return true;
  const holds = facts.needsConfirmation ? [`${uri} holds ${facts.contents ?? 'data'}`] : [];
  const why = [...(doubt === null ? [] : [doubt]), ...holds].join('; ');
  const advice = config.confirm === undefined ? '; --yes copies all the same' : '';
  throw new UnderstudyError('TARGET_NOT_CONFIRMED', `${why}; nothing was written${advice}`);
}

function specOf(
  uri: string,
  facts: TargetFacts,
  mayOverwrite: boolean,
  source: IdentifiedSource,
  config: CopyConfig,
): TargetSpec {
  const { path, identity, disk, replaces } = facts;
  const all = { uri, path, identity, direct: config.direct !== 'off', mayOverwrite };
  if (facts.kind === 'nbd') return { ...all, kind: 'nbd' };
  if (disk !== null) return { ...all, kind: 'block', disk };
  return { ...all, kind: 'file', replaces, mode: modeOfNewFile(source), mayLoseOwner: config.overwrite };
}

/** A new file may be read by whom the source may be read by, as far as the umask lets it. */
function modeOfNewFile({ path }: IdentifiedSource): number {
  const mode = path === undefined ? 0o666 : statSync(path).mode & 0o777;
  return mode & ~process.umask();
}

/** Two names of one target in one request are a mistake, not two copies. */
export function refuseTwins(checked: readonly Checked[]): void {
  const seen = new Map<string, string>();
  for (const one of checked) {
    if (!('spec' in one)) continue;
    const other = seen.get(one.spec.identity);
    if (other !== undefined) throw new UnderstudyError('USAGE', `${other} and ${one.spec.uri} are the same target`);
    seen.set(one.spec.identity, one.spec.uri);
  }
}
