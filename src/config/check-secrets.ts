// Files that hold secrets: nobody else may be able to read them, whichever entry names them.
import { existsSync } from 'node:fs';
import { secretProblem } from '../base/mod.ts';
import type { Settings } from './check-drivers.ts';
import { entriesOf, type PartlyRaw } from './partial.ts';
import { formatPath, type Path, type Report } from './problem.ts';

/** Entries of this name hold the path of a secret, in settings of drivers too. */
const SECRET_ENTRY = /(token|tokens|password|secret|key)File$/i;

/** @param raw with paths made absolute @param settings of drivers, the same */
export function checkSecrets(raw: PartlyRaw, settings: Settings, mayBeMissing: MayBeMissing, report: Report): void {
  const files = [...secretsIn(raw, []), ...secretsOfDrivers(raw, settings)];
  for (const [path, file] of files) {
    if (mayBeMissing(file) && !existsSync(file)) continue;
    const problem = secretProblem(file);
    if (problem !== null) report(path, `${formatPath(path)}: ${file} ${problem.text}`, problem.hint);
  }
}

/** Whether a file with a secret need not be there, because it is about to be put back. */
export type MayBeMissing = (file: string) => boolean;

type Named = readonly [Path, string];

function secretsOfDrivers(raw: PartlyRaw, settings: Settings): readonly Named[] {
  const places: Path[] = [
    ...entriesOf(raw.hosts).map(([name]) => ['hosts', name, 'power']),
    ...entriesOf(raw.services).map(([name]) => ['services', name, 'director']),
  ];
  return places.flatMap((path) => secretsIn(settings.get(formatPath(path)) ?? {}, [...path, 'settings']));
}

/** Settings of drivers are left out: their paths are as they were written. */
function secretsIn(value: unknown, path: Path): readonly Named[] {
  if (typeof value !== 'object' || value === null) return [];
  const entries: readonly (readonly [string | number, unknown])[] = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value).filter(([name]) => name !== 'settings');
  return entries.flatMap(([name, entry]): readonly Named[] => {
    const at = [...path, name];
    if (typeof entry !== 'string') return secretsIn(entry, at);
    return typeof name === 'string' && SECRET_ENTRY.test(name) ? [[at, entry]] : [];
  });
}
