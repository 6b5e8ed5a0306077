// What has to be settled of each target before anything is written: that it can be one, and that somebody agreed to
// what it loses.
import { statSync } from 'node:fs';
import { codeOf, messageOf, present, UnderstudyError } from '../../base/mod.ts';
import type { TargetResult } from '../consumer/mod.ts';
import { hasSeveralFiles, type IdentifiedSource } from '../source/mod.ts';
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
    const leave = await leaveFor(uri, facts, look, config);
    return { spec: specOf(uri, facts, leave, source, config) };
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return { result: notCopied(uri, { code, message: messageOf(error) }) };
  }
}

interface Leave {
  readonly mayOverwrite: boolean;
  /** Left for the worker to decide by: why the source may be the wrong one. */
  readonly doubt: string | null;
}

/**
 * Whether what the target holds may be lost. No leave, and no question, when a disk holds what an interrupted copy of
 * ours left: then only that may be gone on with, and the worker looks again when it has the disk for itself. Into an
 * NBD target only its one connection can look, which is the worker's.
 * @throws TARGET_NOT_CONFIRMED
 */
async function leaveFor(uri: string, facts: TargetFacts, look: SourceLook, config: CopyConfig): Promise<Leave> {
  if (config.overwrite) return { mayOverwrite: true, doubt: null };
  const ours = { mayOverwrite: false, doubt: null };
  if (config.resume && facts.disk !== null && isResumable(facts.path, uri, facts.disk)) return ours;
  const doubt = facts.kind === 'new-file' ? null : await look.doubt();
  if (config.resume && facts.kind === 'nbd') return { mayOverwrite: false, doubt };
  if (!facts.needsConfirmation && doubt === null) return { mayOverwrite: facts.kind !== 'nbd', doubt };
  if ((await config.confirm?.(facts, doubt)) === true) return { mayOverwrite: true, doubt: null };
  const holds = facts.needsConfirmation ? [`${uri} holds ${facts.contents ?? 'data'}`] : [];
  const advice = config.confirm === undefined ? '; use --yes to copy anyway' : '';
  const why = [...(doubt === null ? [] : [doubt]), ...holds].join('; ');
  throw new UnderstudyError('TARGET_NOT_CONFIRMED', `${why}; nothing was written${advice}`);
}

function specOf(
  uri: string,
  facts: TargetFacts,
  { mayOverwrite, doubt }: Leave,
  source: IdentifiedSource,
  config: CopyConfig,
): TargetSpec {
  const { path, identity, disk, replaces, folder } = facts;
  const all = { uri, path, identity, direct: config.direct !== 'off', mayOverwrite };
  if (facts.kind === 'nbd') return { ...all, kind: 'nbd', doubt };
  if (disk !== null) return { ...all, kind: 'block', disk };
  const access = accessOfNewFile(source);
  return {
    ...all,
    kind: 'file',
    folder: present(folder, 'a file has'),
    replaces,
    ...access,
    mayLoseOwner: config.overwrite,
  };
}

const ALL = 0o666;
const OWNER = 0o600;

/**
 * A new file may be read by whom the source may be read by, as far as the umask lets it. A source without permissions
 * of its own tells nothing: what a pipe brings, and what a server gives to everybody, is as public as the umask says;
 * what needs a password, and what an NBD server exports, is its owner's alone. So is what an image holds that consists
 * of several files, for those behind the named one may be less open. A key opens an image for those who may read the
 * key.
 */
function accessOfNewFile(source: IdentifiedSource): { readonly mode: number; readonly group: number | null } {
  const { path, keyFile } = source;
  const stats = path === undefined ? null : statSync(path);
  // A key that is not there is told of by who opens it.
  const ofKey = keyFile === undefined ? ALL : (statSync(keyFile, { throwIfNoEntry: false })?.mode ?? OWNER);
  const ofFiles = path !== undefined && hasSeveralFiles(path, source.format) ? OWNER : ALL;
  const mode = (stats?.mode ?? (isPublic(source) ? ALL : OWNER)) & ofKey & ofFiles & 0o777;
  return { mode: mode & ~process.umask(), group: stats?.gid ?? null };
}

function isPublic({ kind, url, uri }: IdentifiedSource): boolean {
  return kind === 'stdin' || (kind === 'http' && (url ?? uri) === uri);
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
