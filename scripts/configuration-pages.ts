// Writes docs/configuration.md and docs/understudy.schema.json from the schema of understudy.yaml, and
// docs/rules.schema.json from that of rules, docs/policy.schema.json from that of policies: `npm run
// docs:configuration`. A test compares all with what this would write.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { driverSchemas } from '../bin/drivers.ts';
import {
  configurationJsonSchema,
  type DriverSchemas,
  type JsonSchema,
  policyJsonSchema,
  rulesJsonSchema,
} from '../src/config/mod.ts';

/** The whole of docs/understudy.schema.json. */
export function schemaPage(drivers: DriverSchemas): string {
  return `${JSON.stringify(configurationJsonSchema(drivers), null, 2)}\n`;
}

/** The whole of docs/rules.schema.json. */
export function rulesPage(): string {
  return `${JSON.stringify(rulesJsonSchema(), null, 2)}\n`;
}

/** The whole of docs/policy.schema.json. */
export function policyPage(): string {
  return `${JSON.stringify(policyJsonSchema(), null, 2)}\n`;
}

const INTRODUCTION = `# Configuration

Made by \`npm run docs:configuration\` from \`src/config/schema.ts\` and the schemas of the drivers; do not edit by hand.

\`understudy.yaml\` describes an installation. [The example](../examples/understudy.yaml) has every group with comments. Editors that
know JSON Schema check and complete it while you type, with this first line (the path leads to \`understudy.schema.json\`):

\`\`\`yaml
# yaml-language-server: $schema=understudy.schema.json
\`\`\`

\`understudy doctor -f understudy.yaml\` reads it and says all that is wrong at once, a line each:
\`understudy.yaml:12:5: hosts.web1.volume: there is no volume "wbe1" (did you mean web1?)\`.

- Relative paths begin at the folder of the file.
- Durations are written \`500ms\`, \`10s\`, \`1.5m\`, \`4h\`; sizes \`4M\`, \`512KiB\`, \`4G\` (powers of 1024) or \`500MB\` (of 1000); rates are sizes a second.
- A secret is never in the file: it is a file of its own that belongs to the user who runs understudy, or to root, with mode 0600.
- Nobody else may be able to write the file, replace it in its folder, or lead to another by a link of theirs; otherwise it is refused. The same
  holds for files with secrets, rules and agent settings.
- Names are lower-case letters, digits and \`-\`, at most 63.
- The file is YAML 1.2 in UTF-8, at most 1 MiB. Anchors and aliases may be used; merge keys (\`<<\`) and tags may not.

What must be there once: volumes and their paths, MAC addresses, IP addresses, host names, token files. A host is the lead of
one service or a spare in any number of pools. A gateway lies in a network of its interface.`;

/** The whole of docs/configuration.md. */
export function configurationPage(drivers: DriverSchemas): string {
  const schema = configurationJsonSchema(drivers);
  return `${[INTRODUCTION, ...sections('', schema)].join('\n')}\n`;
}

/** A table of the entries of a group, then the groups in it. */
function sections(path: string, schema: JsonSchema): string[] {
  const required = new Set(schema.required ?? []);
  const entries = Object.entries(schema.properties ?? {}).flatMap(([name, entry]) =>
    typeof entry === 'object' ? [[name, entry] as const] : [],
  );
  const rows = entries.map(([name, entry]) => {
    const fallback = entry.default === undefined || isGroup(entry) ? '' : code(entry.default);
    return `| \`${name}\` | ${kindOf(entry)} | ${required.has(name) ? 'required' : fallback} | ${entry.description ?? ''} |`;
  });
  const title = path === '' ? '## understudy.yaml' : `## ${path}`;
  const table = ['', title, '', '| entry | what | default | meaning |', '| --- | --- | --- | --- |', ...rows];
  const inner = entries.flatMap(([name, entry]) => innerSections(path === '' ? name : `${path}.${name}`, entry));
  const drivers = (schema.oneOf ?? []).flatMap((choice) => driverSections(path, choice));
  return [...(rows.length > 0 ? table : []), ...drivers, ...inner];
}

function innerSections(path: string, entry: JsonSchema): string[] {
  if (entry.properties !== undefined) return sections(path, entry);
  const { additionalProperties: values, items } = entry;
  if (typeof values === 'object' && values.properties !== undefined) return sections(`${path}.NAME`, values);
  return typeof items === 'object' && !Array.isArray(items) && items.properties !== undefined
    ? sections(`${path}[]`, items)
    : [];
}

function driverSections(path: string, choice: JsonSchema): string[] {
  const { driver, settings } = choice.properties ?? {};
  if (typeof driver !== 'object' || typeof settings !== 'object') return [];
  const found = sections(`${path}.settings`, settings);
  const title = `## ${path}.settings, driver ${String(driver.const)}`;
  const first = found.findIndex((line) => line.startsWith('## '));
  return first < 0 ? ['', title, '', 'None.'] : found.map((line, index) => (index === first ? title : line));
}

function isGroup(entry: JsonSchema): boolean {
  return entry.type === 'object' && entry.properties !== undefined;
}

function kindOf(entry: JsonSchema): string {
  if (entry.enum !== undefined) return entry.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (entry.const !== undefined) return code(entry.const);
  const choices = [...(entry.anyOf ?? []), ...(entry.oneOf ?? [])].filter((choice) => choice.type !== 'null');
  if (choices.length > 0 && entry.type === undefined) return choices.map(kindOf).join(' or ');
  if (entry.format === 'path') return 'path';
  if (Array.isArray(entry.examples) && entry.examples.length > 0) return `like ${entry.examples.map(code).join(', ')}`;
  if (entry.type === 'array') {
    return typeof entry.items === 'object' && !Array.isArray(entry.items) ? `list: ${kindOf(entry.items)}` : 'list';
  }
  return `${words(entry.type)}${rangeOf(entry)}`;
}

function words(type: unknown): string {
  const known: Readonly<Record<string, string>> = {
    string: 'text',
    integer: 'whole number',
    number: 'number',
    boolean: '`true`, `false`',
    object: 'group',
  };
  const types = (Array.isArray(type) ? type : [type]).filter((one) => one !== 'null');
  return types.map((one) => known[String(one)] ?? 'anything').join(' or ');
}

function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): string {
  const least =
    typeof exclusiveMinimum === 'number' ? `above ${exclusiveMinimum}` : minimum === undefined ? '' : `from ${minimum}`;
  const most =
    typeof exclusiveMaximum === 'number' ? `below ${exclusiveMaximum}` : maximum === undefined ? '' : `to ${maximum}`;
  return [least, most]
    .filter((part) => part !== '')
    .map((part) => ` ${part}`)
    .join('');
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

const [, script, folder] = process.argv;
if (script === fileURLToPath(import.meta.url) && folder !== undefined) {
  writeFileSync(join(folder, 'configuration.md'), configurationPage(driverSchemas));
  writeFileSync(join(folder, 'understudy.schema.json'), schemaPage(driverSchemas));
  writeFileSync(join(folder, 'rules.schema.json'), rulesPage());
  writeFileSync(join(folder, 'policy.schema.json'), policyPage());
}
