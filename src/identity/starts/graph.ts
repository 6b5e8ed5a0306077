// The whole of it: all ways, in the order in which they are listed.
import type { FileTree } from '../tree/mod.ts';
import { rememberScripts } from './commands.ts';
import type { Reader, Start, StartGraph } from './contract.ts';
import { cronStarts } from './cron.ts';
import { hookStarts, ifupdownStarts, localStarts, udevStarts } from './lines.ts';
import { containerStarts, supervisedStarts } from './others.ts';
import { inittabStarts, openrcStarts, sysvStarts, upstartStarts } from './run-levels.ts';
import { systemdStarts, userStarts } from './systemd/mod.ts';

/** Servers have some megabytes of units and scripts. */
const ALL_BYTES_MAX = 48 * 1024 * 1024;
const TOO_MUCH = `units and scripts have more than ${ALL_BYTES_MAX} bytes`;
const READERS: readonly Reader[] = [
  systemdStarts,
  userStarts,
  sysvStarts,
  openrcStarts,
  inittabStarts,
  upstartStarts,
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
  const bounded = boundedTree(tree, () => void cut.add(TOO_MUCH));
  rememberScripts(bounded);
  for (const read of READERS) starts.push(...(await read(bounded, (why) => void cut.add(why))));
  return { starts, cut: [...cut] };
}

/** Of all files together no more is read than memory has room for: each start keeps the text that it is judged by. */
function boundedTree(tree: FileTree, exceeded: () => void): FileTree {
  let left = ALL_BYTES_MAX;
  return {
    ...tree,
    async read(path, bytesMax) {
      const bytes = await tree.read(path, Math.min(bytesMax, left + 1));
      if (bytes === null) return null;
      if (bytes.length > left) exceeded();
      left = Math.max(0, left - bytes.length);
      return bytes;
    },
  };
}
