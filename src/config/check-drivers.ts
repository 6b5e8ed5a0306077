// Settings of drivers, checked by the drivers' own schemas.
import * as z from 'zod';
import type { DriverSchemas } from './contract.ts';
import { explain } from './explain.ts';
import type { JsonRecord } from './json.ts';
import { entriesOf, type PartlyRaw } from './partial.ts';
import { formatPath, type Path, type Report } from './problem.ts';
import { resolvePaths } from './shape.ts';
import { suggestion } from './suggest.ts';

/** Settings as the drivers want them, by the path of their entry: "hosts.web1.power". */
export type Settings = ReadonlyMap<string, JsonRecord>;

interface Reference {
  readonly path: Path;
  readonly kind: 'power' | 'director';
  readonly driver: string | undefined;
  readonly settings: unknown;
}

export function checkDrivers(raw: PartlyRaw, schemas: DriverSchemas, folder: string, report: Report): Settings {
  const references: Reference[] = [
    ...entriesOf(raw.hosts).map(([name, { power }]) => {
      return {
        path: ['hosts', name, 'power'],
        kind: 'power' as const,
        driver: power?.driver,
        settings: power?.settings,
      };
    }),
    ...entriesOf(raw.services).map(([name, { director }]) => {
      const path = ['services', name, 'director'];
      return { path, kind: 'director' as const, driver: director?.driver, settings: director?.settings };
    }),
  ];
  const settings = new Map<string, JsonRecord>();
  for (const reference of references) {
    const checked = checkOne(reference, schemas, folder, report);
    if (checked !== null) settings.set(formatPath(reference.path), checked);
  }
  return settings;
}

function checkOne(reference: Reference, schemas: DriverSchemas, folder: string, report: Report): JsonRecord | null {
  const { path, kind, driver } = reference;
  if (driver === undefined) return null;
  const known = Object.keys(schemas[kind]);
  const schema = Object.hasOwn(schemas[kind], driver) ? schemas[kind][driver] : undefined;
  if (schema === undefined) {
    const at = [...path, 'driver'];
    report(at, `${formatPath(at)}: there is no ${kind} driver "${driver}"`, suggestion(driver, known));
    return null;
  }
  const given = reference.settings ?? {};
  const result = z.safeParse(schema, given);
  if (!result.success) {
    explain(schema, result.error.issues, given, [...path, 'settings'], report);
    return null;
  }
  return resolvePaths(schema, result.data, folder) as JsonRecord;
}
