import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { driverSchemas } from '../../bin/drivers.ts';
import { configurationPage, policyPage, rulesPage, schemaPage } from '../../scripts/configuration-pages.ts';
import { configurationJsonSchema, loadConfiguration } from '../../src/config/mod.ts';
import { ConfigFolder, drivers } from '../support/config-folder.ts';

describe('what is published about understudy.yaml', () => {
  it('config - the JSON Schema is what the program checks', () => {
    expect(readFileSync('docs/understudy.schema.json', 'utf8')).toBe(schemaPage(driverSchemas));
  });

  it('config - so is the JSON Schema of rules', () => {
    expect(readFileSync('docs/rules.schema.json', 'utf8')).toBe(rulesPage());
  });

  it('config - so is the JSON Schema of policies', () => {
    expect(readFileSync('docs/policy.schema.json', 'utf8')).toBe(policyPage());
  });

  it('config - the page is what the program checks', () => {
    expect(readFileSync('docs/configuration.md', 'utf8')).toBe(configurationPage(driverSchemas));
  });

  it('config - settings of drivers are in both', () => {
    const power = JSON.stringify(configurationJsonSchema(drivers));
    expect(power).toContain('"enum":["plug"]');
    expect(power).toContain('"outlet":{"type":"integer","minimum":1,"maximum":8}');
    const page = configurationPage(drivers);
    expect(page).toContain('## hosts.NAME.power.settings, driver plug\n');
    expect(page).toContain('| `outlet` | whole number from 1 to 8 | required |');
    expect(page).toContain('| `target` | text or group | required |');
  });

  it('config - the example is a configuration', async () => {
    const config = new ConfigFolder();
    try {
      config.secret('api-tokens', 'x');
      const text = readFileSync('examples/understudy.yaml', 'utf8');
      expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=../docs/understudy.schema.json');
      const loaded = await loadConfiguration(config.write(text), driverSchemas);
      expect(loaded.services.get('wiki')).toMatchObject({
        lead: 'web1',
        pool: ['spare1', 'spare2'],
        mode: 'advise',
      });
      expect(loaded.hosts.size).toBe(3);
    } finally {
      config.remove();
    }
  });
});
