// The JSON Schema of understudy.yaml, for editors: made from what checks the file, so the two cannot differ.
import * as z from 'zod';
import type { DriverSchemas } from './contract.ts';
import { rulesSchema } from './identity-schema.ts';
import { policySchema } from './policy-schema.ts';
import { configurationSchema } from './schema.ts';

/** As JSON: an object of JSON Schema draft 7, which is what editors understand best. */
export type JsonSchema = z.core.JSONSchema.BaseSchema;

export function configurationJsonSchema(drivers: DriverSchemas): JsonSchema {
  const schema = toJson(configurationSchema);
  withSettings(valuesOf(schema.properties?.hosts).properties?.power, drivers.power);
  withSettings(valuesOf(schema.properties?.services).properties?.director, drivers.director);
  return { ...schema, title: 'understudy.yaml' };
}

/** Of a file of rules for what must not exist twice. */
export function rulesJsonSchema(): JsonSchema {
  return { ...toJson(rulesSchema), title: 'rules.yaml' };
}

/** Of a policy for recorded signals. */
export function policyJsonSchema(): JsonSchema {
  return { ...toJson(policySchema), title: 'policy.yaml' };
}

function toJson(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', target: 'draft-7' });
}

type Part = JsonSchema['additionalProperties'] | undefined;

function valuesOf(group: Part): JsonSchema {
  const record = typeof group === 'object' ? group.additionalProperties : undefined;
  return typeof record === 'object' ? record : {};
}

/** Which settings an entry takes depends on the driver that it names. */
function withSettings(entry: Part, schemas: DriverSchemas['power']): void {
  const driver = typeof entry === 'object' ? entry.properties?.driver : undefined;
  if (typeof entry !== 'object' || typeof driver !== 'object') return;
  const names = Object.keys(schemas);
  if (names.length === 0) return;
  driver.enum = names;
  entry.oneOf = Object.entries(schemas).map(([name, schema]) => {
    const { $schema: _, ...settings } = toJson(schema);
    return { properties: { driver: { const: name }, settings } };
  });
}
