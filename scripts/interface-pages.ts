// Writes docs/http-api.md from the schemas of the routes, and docs/metrics.md from the metrics that the controller
// writes: `npm run docs:interface`. A test compares both with what this would write.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeInterface, describeMetrics, type MetricDefinition } from '../src/api/mod.ts';

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content & { readonly description: string }>>;
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const MADE_BY = 'Made by `npm run docs:interface` from `src/api`; do not edit by hand.';

const API_INTRODUCTION = `# HTTP interface

${MADE_BY}

The controller answers at \`api.host\` and \`api.port\` of \`understudy.yaml\` ([configuration.md](configuration.md)), over
TLS 1.3 where \`tls\` is set ([tls.md](tls.md)). The command line and the agents use this interface and nothing else.
\`GET /openapi.json\` answers the same as OpenAPI 3.1.

**Who asks** is said by \`Authorization: Bearer TOKEN\` or by a client certificate. Tokens are made with
\`understudy token new ROLE NAME\`, certificates with \`understudy pki issue user NAME ROLE\`.

| role | may |
| --- | --- |
| viewer | read; a scraper of metrics and a display need no more |
| operator | what a viewer may, and give orders; an operator limited to services (\`--service\`) only about them |
| agent | report for its own host |

**Errors** have one form, with a code of [errors.md](errors.md), which names the HTTP status too. A code \`INTERNAL\` with
status 500 is a defect of the program; its log has the stack.

\`\`\`json
{ "error": { "code": "ENGAGEMENT_REFUSED", "message": "spare1 is engaged for web1 (wiki-3, serving)" } }
\`\`\`

**Stability**: fields may be added to answers, and are never changed or removed within \`/v1\`. Unknown fields of a request
are refused. Times are ISO 8601 in UTC, durations are seconds. A request has at most 16 KiB, a report of an agent more.

**Is it alive?** \`GET /healthz\` answers \`{"ok":true}\` with status 200 as long as the process answers requests, to
everybody and without a token. It says nothing of services, hosts and disks: that is what \`GET /v1/status\` and
[metrics.md](metrics.md) are for.

    curl --cacert /etc/understudy/pki/ca.crt https://10.20.0.1:7780/healthz
    curl --cacert /etc/understudy/pki/ca.crt -H "Authorization: Bearer $(cat token)" https://10.20.0.1:7780/v1/status

\`GET /v1/events\` is a stream of server-sent events
([HTML](https://html.spec.whatwg.org/multipage/server-sent-events.html)). A reader that asks for \`GET /v1/status\` first,
and for the events after its \`revision\`, misses nothing.`;

const METRICS_INTRODUCTION = `# Metrics

${MADE_BY}

\`GET /metrics\` answers in Prometheus' text format 0.0.4 ([http-api.md](http-api.md)). It needs the role **viewer**: a
token of its own, or a certificate. On the machine of the controller:

    understudy token new viewer prometheus -f /etc/understudy/understudy.yaml

prints the token once; put it into a file that only Prometheus may read. With a certificate, \`tls_config\` has
\`cert_file\` and \`key_file\` instead of the token:

\`\`\`yaml
scrape_configs:
  - job_name: understudy
    scheme: https
    authorization: { credentials_file: /etc/prometheus/understudy.token }
    tls_config: { ca_file: /etc/prometheus/understudy-ca.crt }
    static_configs: [{ targets: ["10.20.0.1:7780"] }]
\`\`\`

While the events of the store cannot be read, the answer is 503 (\`API_UNAVAILABLE\`), so that \`up\` is 0: numbers that
are out of date are not given. [operations.md](operations.md) says what to watch, and what each alarm means. Counters and
histograms begin at zero when the controller starts; then they take up the events that are still kept.`;

/** The whole of docs/http-api.md. */
export async function apiPage(): Promise<string> {
  const { paths, components } = (await describeInterface()) as Description;
  const rows: string[] = [];
  const sections: string[] = [];
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const title = `${method.toUpperCase()} ${path}`;
      rows.push(`| \`${title}\` | ${whoOf(operation)} | ${operation.summary} |`);
      sections.push(...operationSection(title, operation));
    }
  }
  const forms = Object.entries(components.schemas).flatMap(([name, schema]) => formSection(name, schema));
  const table = ['| request | for | what |', '| --- | --- | --- |', ...rows];
  return `${[API_INTRODUCTION, '', '## Requests', '', ...table, ...sections, '', '# Forms', ...forms].join('\n')}\n`;
}

/** The whole of docs/metrics.md. */
export async function metricsPage(): Promise<string> {
  const rows = (await describeMetrics()).map(metricRow);
  const table = ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows];
  return `${[METRICS_INTRODUCTION, '', ...table].join('\n')}\n`;
}

function metricRow({ name, type, labels, help }: MetricDefinition): string {
  return `| \`${name}\` | ${type} | ${labels.map(code).join(', ')} | ${cell(help)} |`;
}

function whoOf({ description }: Operation): string {
  return description === undefined ? 'everybody' : description.replace(/^For: /, '').replace(/\.$/, '');
}

function operationSection(title: string, operation: Operation): readonly string[] {
  const { summary, parameters = [], requestBody, responses } = operation;
  const inputs = parameters.map(({ name, in: place, required, schema, description }) => {
    const text = description ?? schema.description ?? '';
    return [code(name), place, kindOf(schema), fallback(schema, required === true), cell(text)];
  });
  const body = bodiesOf(requestBody).flatMap((form, index, all) =>
    fieldsOf(form).map(({ name, schema, required }) => {
      const place = all.length > 1 ? `body, form ${index + 1}` : 'body';
      return [code(name), place, kindOf(schema), fallback(schema, required), cell(schema.description ?? '')];
    }),
  );
  const rows = [...inputs, ...body];
  const table = rows.length === 0 ? [] : ['', ...tableOf(['parameter', 'in', 'what', 'default', 'meaning'], rows)];
  const good = schemaOf(responses['200']);
  const codes = Object.entries(responses)
    .filter(([status]) => /^[45]/.test(status))
    .flatMap(([, { description }]) => (/^[A-Z_, ]+$/.test(description) ? description.split(', ').map(code) : []));
  return [
    '',
    `### ${title}`,
    '',
    `${summary}. For: ${whoOf(operation)}.`,
    ...table,
    '',
    `Answers ${good === null ? 'text' : answerOf(good)}.`,
    ...(codes.length === 0 ? [] : ['', `Errors: ${codes.join(', ')}.`]),
  ];
}

/** A named form, or its fields. */
function answerOf(schema: Schema): string {
  if (schema.$ref !== undefined || schema.properties === undefined) return kindOf(schema);
  const fields = Object.entries(schema.properties).map(([name, field]) => `${code(name)}: ${kindOf(field)}`);
  return `an object with ${fields.join(', ')}`;
}

function bodiesOf(body: Content | undefined): readonly Schema[] {
  const schema = schemaOf(body);
  return schema === null ? [] : (schema.anyOf ?? schema.oneOf ?? [schema]);
}

function schemaOf(content: Content | undefined): Schema | null {
  return Object.values(content?.content ?? {})[0]?.schema ?? null;
}

interface Field {
  readonly name: string;
  readonly schema: Schema;
  readonly required: boolean;
}

function fieldsOf({ properties = {}, required = [] }: Schema): readonly Field[] {
  return Object.entries(properties).map(([name, schema]) => ({ name, schema, required: required.includes(name) }));
}

function formSection(name: string, schema: Schema): readonly string[] {
  const head = ['', `### ${name}`, ...(schema.description === undefined ? [] : ['', schema.description])];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return [...head, '', ...choices.map((one) => `- ${answerOf(one)}`)];
  const rows = nested('', schema);
  if (rows.length === 0) return [...head, '', kindOf(schema)];
  return [...head, '', ...tableOf(['field', 'what', 'meaning'], rows)];
}

/** A table; a last column in which nothing stands is left out. */
function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const isEmpty = rows.every((row) => row.at(-1) === '');
  const lines = [head, head.map(() => '---'), ...rows].map((row) => (isEmpty ? row.slice(0, -1) : row));
  return lines.map((row) => `| ${row.join(' | ')} |`);
}

/** Fields of a form, those of groups inside with their path. */
function nested(path: string, schema: Schema): readonly (readonly string[])[] {
  return fieldsOf(schema).flatMap(({ name, schema: field, required }) => {
    const place = `${path}${name}${required ? '' : '?'}`;
    const inner = field.items ?? [...(field.anyOf ?? [])].find((one) => one.properties !== undefined) ?? field;
    const below = inner.$ref === undefined ? nested(`${place}${field.items === undefined ? '' : '[]'}.`, inner) : [];
    return [[code(place), kindOf(field), cell(field.description ?? '')], ...below];
  });
}

function kindOf(schema: Schema): string {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1) ?? '';
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (schema.enum !== undefined)
    return schema.enum.length > 20 ? 'a code' : schema.enum.map((one) => code(String(one))).join(', ');
  if (schema.const !== undefined) return code(String(schema.const));
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (choices !== undefined) return choices.map(kindOf).join(' or ');
  if (schema.type === 'array') return `list of ${kindOf(schema.items ?? {})}`;
  const types = [schema.type ?? 'anything'].flat().map((type) => WORDS[type] ?? type);
  return `${types.join(' or ')}${rangeOf(schema)}`;
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'whole number',
  boolean: '`true`, `false`',
  object: 'object',
  null: 'null',
};

function rangeOf({ minimum, maximum }: Schema): string {
  const bounds = [
    ...(minimum === undefined || minimum < -1e12 ? [] : [`from ${minimum}`]),
    ...(maximum === undefined || maximum > 1e12 ? [] : [`to ${maximum}`]),
  ];
  return bounds.length === 0 ? '' : ` ${bounds.join(' ')}`;
}

function fallback({ default: value }: Schema, required: boolean): string {
  if (value !== undefined) return code(JSON.stringify(value));
  return required ? 'required' : '';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function code(text: string): string {
  return `\`${text}\``;
}

const [, script, folder] = process.argv;
if (script === fileURLToPath(import.meta.url) && folder !== undefined) {
  writeFileSync(join(folder, 'http-api.md'), await apiPage());
  writeFileSync(join(folder, 'metrics.md'), await metricsPage());
}
