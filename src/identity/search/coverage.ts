// What the search says of itself.
import type { Coverage, Finding, Omission } from '../contract.ts';
import { fileTree, type NodeTree, printable } from '../tree/mod.ts';
import type { Walked } from './walk.ts';

/** Of one reason, places that are named; more are counted. */
const PLACES_MAX = 50;
const NOBODY: Omission = {
  path: '/',
  why: 'it is not known whose image it is, so that its names and addresses were not looked for',
  isIntended: false,
};
const UNREAD = 'it is on the disk, and nothing of the system mounts it or nothing here can read it';

/** @param isKnown somebody has said whose image it is, so that names and addresses were looked for as well */
export function coverageOf(nodes: NodeTree, walked: Walked, findings: readonly Finding[], isKnown: boolean): Coverage {
  const { files, filesRead, bytesRead } = walked;
  const outside = fileTree(nodes).disk.unread.map(
    ({ text }): Omission => ({ path: '/', why: `${UNREAD} (${text})`, isIntended: false }),
  );
  const notSearched = bounded([...walked.omitted, ...outside, ...(isKnown ? [] : [NOBODY])])
    .map((one) => ({ ...one, path: printable(one.path), why: printable(one.why) }))
    .sort((one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0));
  const filesExplained = new Set(findings.filter(({ rule }) => rule !== 'mentions').map(({ path }) => path)).size;
  const isComplete = notSearched.every(({ isIntended }) => isIntended);
  return { files, filesRead, bytesRead, filesExplained, notSearched, isComplete };
}

/** A hostile image has as many places of one kind as it likes. */
function bounded(omitted: readonly Omission[]): readonly Omission[] {
  const counts = new Map<string, Omission[]>();
  for (const one of omitted) {
    const kind = `${one.isIntended} ${one.isIntended ? one.why : ''}`;
    const places = counts.get(kind) ?? [];
    places.push(one);
    counts.set(kind, places);
  }
  return [...counts.values()].flatMap((places) => {
    const [shown, rest] = [places.slice(0, PLACES_MAX), places.length - PLACES_MAX];
    const more = { path: '/', why: `${rest} more places: ${shown[0]?.why}`, isIntended: shown[0]?.isIntended === true };
    return rest > 0 ? [...shown, more] : shown;
  });
}
