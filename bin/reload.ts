// understudy.yaml read again by a running controller (SIGHUP, `understudy reload`): all of it is taken, or nothing.
import { type ReloadView, readTokens } from '../src/api/mod.ts';
import { codeOf, type Log, messageOf, Turns, UnderstudyError } from '../src/base/mod.ts';
import {
  becomes,
  type ConfigChange,
  type Configuration,
  changesBetween,
  describeChange,
  fixedSections,
  loadWritten,
  type Written,
} from '../src/config/mod.ts';
import type { Controller } from '../src/controller/mod.ts';
import type { LocalStorageNode } from '../src/storage/mod.ts';
import { driverSchemas } from './drivers.ts';

export interface ReloadParts {
  /** That all parts have (`liveConfiguration`). */
  readonly live: Configuration;
  /** What was read at the start. */
  readonly first: Written;
  readonly controller: Controller;
  readonly storage: LocalStorageNode;
  /** Gives hosts and services of the configuration to what has made something of them. */
  readonly adopt: (configuration: Configuration) => void;
  readonly log: Log;
}

export type Reload = (dryRun: boolean) => Promise<ReloadView>;

/** One reading at a time. */
export function createReload(parts: ReloadParts): Reload {
  let last = parts.first;
  const turns = new Turns();
  return (dryRun) =>
    turns.take(async () => {
      const { view, taken } = await readAgain(parts, last, dryRun);
      if (view.applied) last = taken;
      return view;
    });
}

interface Outcome {
  readonly view: ReloadView;
  readonly taken: Written;
}

async function readAgain(parts: ReloadParts, before: Written, dryRun: boolean): Promise<Outcome> {
  const { path: file } = parts.live;
  try {
    const taken = await loadWritten(file, driverSchemas);
    const { configuration: next } = taken;
    const changes = changesBetween(before.written, taken.written);
    await readTokens(next);
    const objections = [...ofFixed(before.configuration, next, changes), ...(await parts.controller.objections(next))];
    if (objections.length > 0) throw new UnderstudyError('RELOAD_REFUSED', objections.join('\n'));
    if (!dryRun) await take(parts, before.configuration, next, changes);
    return { view: { file, applied: !dryRun, changes }, taken };
  } catch (error) {
    const message = `${file} is not taken, and nothing has changed: ${messageOf(error)}`;
    const code = codeOf(error);
    if (code !== null && !dryRun) parts.log({ level: 'error', subject: 'controller', message, code });
    throw error;
  }
}

/** What takes a new process, by its names in the file. */
function ofFixed(before: Configuration, after: Configuration, changes: readonly ConfigChange[]): readonly string[] {
  return fixedSections(before, after).flatMap((section) =>
    changes
      .filter(({ path }) => path === section || path.startsWith(`${section}.`))
      .map((change) => `${describeChange(change)}: this takes a restart of understudy up`),
  );
}

async function take(
  { live, controller, storage, adopt }: ReloadParts,
  before: Configuration,
  next: Configuration,
  changes: readonly ConfigChange[],
): Promise<void> {
  const become = (configuration: Configuration): void => {
    becomes(live, configuration);
    adopt(live);
  };
  await controller.reconfigure({
    next,
    changes: changes.map(describeChange),
    become: async (letGo) => {
      try {
        become(next);
        await letGo();
        await storage.setVolumes([...next.volumes.values()]);
      } catch (error) {
        become(before);
        await storage.setVolumes([...before.volumes.values()]);
        throw error;
      }
    },
  });
}
