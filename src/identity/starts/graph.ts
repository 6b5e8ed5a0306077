// The whole of it: all ways, in the order in which they are listed.
import type { FileTree } from '../tree/mod.ts';
import type { Reader, Start, StartGraph } from './contract.ts';
import { cronStarts } from './cron.ts';
import { hookStarts, ifupdownStarts, localStarts, udevStarts } from './lines.ts';
import { containerStarts, supervisedStarts } from './others.ts';
import { inittabStarts, openrcStarts, sysvStarts } from './run-levels.ts';
import { systemdStarts, userStarts } from './systemd/mod.ts';

const READERS: readonly Reader[] = [
  systemdStarts,
  userStarts,
  sysvStarts,
  openrcStarts,
  inittabStarts,
  localStarts,
  cronStarts,
  udevStarts,
  ifupdownStarts,
  hookStarts,
  supervisedStarts,
  containerStarts,
];

/** A tree is read once: what a plan changes in it only takes starts away, which `isLive` asks. */
const graphs = new WeakMap<FileTree, Promise<StartGraph>>();

export function startGraph(tree: FileTree): Promise<StartGraph> {
  const known = graphs.get(tree);
  if (known !== undefined) return known;
  const graph = readGraph(tree);
  graphs.set(tree, graph);
  return graph;
}

async function readGraph(tree: FileTree): Promise<StartGraph> {
  const [starts, cut] = [[] as Start[], new Set<string>()];
  for (const read of READERS) starts.push(...(await read(tree, (why) => void cut.add(why))));
  return { starts, cut: [...cut] };
}
