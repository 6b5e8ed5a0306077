// What the search through an image has found. The walk is made once for an image that is open, whoever asks first; what
// is planned to change is looked at again, and nothing else is.
import type { Omission } from '../contract.ts';
import { type Entry, type NodeTree, PlannedTree, parentOf } from '../tree/mod.ts';
import { Finder, type Mention } from './mention.ts';
import { keyOfValues, type Value } from './values.ts';
import { TEXT_BYTES_MAX, type Walked, walk } from './walk.ts';

/** Files with a mention that are remembered; more is a search that says nothing. */
const HITS_MAX = 20_000;
const NAMES_MAX = 10_000;
/** What may be a machine-id in a name. */
const ID_IN_NAME = /[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

/** `target`: of a link. */
export type Named = Pick<Entry, 'path' | 'target'>;

export interface Survey extends Walked {
  /** By canonical path, in the order of the walk. */
  readonly hits: ReadonlyMap<string, readonly Mention[]>;
  /** Whatever has 32 hexadecimal digits in its name, or in that of what it leads to. */
  readonly named: readonly Named[];
}

const known = new WeakMap<NodeTree, Map<string, Promise<Survey>>>();

/** The whole of an image as it is, or as it will be with what is planned. */
export async function surveyOf(nodes: NodeTree, values: readonly Value[]): Promise<Survey> {
  if (nodes instanceof PlannedTree) return withPlanned(nodes, values);
  const key = keyOfValues(values);
  const surveys = known.get(nodes) ?? new Map<string, Promise<Survey>>();
  known.set(nodes, surveys);
  const survey = surveys.get(key) ?? surveyBelow(nodes, ['/'], values);
  surveys.set(key, survey);
  return survey;
}

/** Some folders and files of it. @param roots canonical @param textBytesMax of larger files nothing is read */
export async function surveyBelow(
  nodes: NodeTree,
  roots: readonly string[],
  values: readonly Value[],
  textBytesMax = TEXT_BYTES_MAX,
): Promise<Survey> {
  const finder = new Finder(values);
  const hits = new Map<string, readonly Mention[]>();
  const named: Named[] = [];
  const more: Omission[] = [];
  const visitor = {
    named: ({ path, target }: Entry) => {
      if (!ID_IN_NAME.test(path.slice(path.lastIndexOf('/'))) && !ID_IN_NAME.test(target ?? '')) return;
      if (named.length < NAMES_MAX) named.push({ path, target });
      else if (named.length === NAMES_MAX) more.push({ path, why: 'there are too many such names', isIntended: false });
    },
    text: (path: string, bytes: Buffer) => {
      const mentions = finder.mentionsIn(bytes);
      if (mentions.length === 0) return;
      if (hits.size < HITS_MAX) hits.set(path, mentions);
      else if (more.length === 0) more.push({ path, why: 'there are too many mentions', isIntended: false });
    },
  };
  const walked = await walk(nodes, roots, visitor, textBytesMax);
  return { ...walked, omitted: [...walked.omitted, ...more], hits, named };
}

async function withPlanned(planned: PlannedTree, values: readonly Value[]): Promise<Survey> {
  const survey = await surveyOf(planned.base, values);
  const { renamed, states } = planned;
  const finder = new Finder(values);
  const moved = [...survey.hits].map(([path, mentions]) => [renamed.moved(path), mentions] as const);
  // What is queued in a folder that is emptied goes, whatever it names.
  const hits = new Map(moved.filter(([path]) => !planned.isEmptied(parentOf(path))));
  for (const [path, state] of states) {
    hits.delete(path);
    const mentions = state.kind === 'file' ? finder.mentionsIn(state.bytes) : [];
    if (mentions.length > 0) hits.set(path, mentions);
  }
  const named = survey.named.flatMap(({ path, target }): Named[] => {
    const [at, state] = [renamed.moved(path), states.get(renamed.moved(path))];
    if (state === undefined) return [{ path: at, target }];
    return state.kind === 'gone' ? [] : [{ path: at, target: state.kind === 'link' ? state.target : null }];
  });
  return { ...survey, hits, named };
}
