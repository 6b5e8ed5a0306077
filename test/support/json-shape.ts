// The JSON examples of docs/cli.md against what the program prints: same fields, same kinds of values.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../../docs/cli.md', import.meta.url));
/** Its fields differ from signal to signal. */
const FREE = 'values';

/** The first JSON example below "## understudy COMMAND ...". */
export function documentedJson(command: string): unknown {
  const section = readFileSync(PAGE, 'utf8')
    .split(/^## /m)
    .find((part) => part.startsWith(`understudy ${command} `));
  const block = /^```json\n(.*?)^```$/ms.exec(section ?? '')?.[1];
  if (block === undefined) throw new Error(`docs/cli.md has no JSON example of ${command}`);
  return JSON.parse(block);
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : typeof value;
}

/** Where `real` is not as documented; null and empty lists fit everything. */
export function shapeDifferences(documented: unknown, real: unknown, at = ''): string[] {
  if (documented === null || real === null) return [];
  if (kindOf(documented) !== kindOf(real)) return [`${at}: ${kindOf(real)}, documented as ${kindOf(documented)}`];
  if (Array.isArray(documented) && Array.isArray(real)) {
    if (documented.length === 0) return [];
    return real.flatMap((element, index) => shapeDifferences(documented[0], element, `${at}[${index}]`));
  }
  if (typeof documented !== 'object' || at.endsWith(`.${FREE}`)) return [];
  const [wanted, found] = [documented as Record<string, unknown>, real as Record<string, unknown>];
  const missing = Object.keys(wanted).filter((key) => !Object.hasOwn(found, key));
  const more = Object.keys(found).filter((key) => !Object.hasOwn(wanted, key));
  const inside = Object.keys(wanted).filter((key) => Object.hasOwn(found, key));
  return [
    ...missing.map((key) => `${at}.${key}: documented, and not there`),
    ...more.map((key) => `${at}.${key}: not documented`),
    ...inside.flatMap((key) => shapeDifferences(wanted[key], found[key], `${at}.${key}`)),
  ];
}
