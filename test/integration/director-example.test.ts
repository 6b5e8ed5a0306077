// The configuration that users copy: HAProxy takes it as it is, and it is the one of docs/haproxy.md.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { requireTool, runTool } from '../../src/base/mod.ts';
import { haproxySettings } from '../../src/director/mod.ts';
import { type HaproxyStage, onHaproxy } from '../support/haproxy-stage.ts';

const EXAMPLE = 'examples/haproxy.cfg';

async function readers(stage: HaproxyStage, cookie: string): Promise<readonly (string | null)[]> {
  const names = new Set<string | null>();
  for (let round = 0; round < 20; round++)
    names.add((await stage.haproxy.request('GET', '/', { Cookie: cookie })).server);
  return [...names].sort();
}

describe('examples/haproxy.cfg', () => {
  it('director - HAProxy takes the example without a warning', async () => {
    const { status, stdout, stderr } = await runTool(requireTool('haproxy', 'haproxy'), ['-c', '-f', EXAMPLE]);
    expect({ status, warnings: `${stdout}${stderr}`.match(/WARNING|ALERT/g) }).toEqual({ status: 0, warnings: null });
  });

  it('director - the page shows the example, word for word', () => {
    const shown = /```haproxy\n(.*?)```/s.exec(readFileSync('docs/haproxy.md', 'utf8'))?.[1];
    expect(shown).toBe(readFileSync(EXAMPLE, 'utf8'));
  });

  it('director - the page lists all settings with their defaults', () => {
    const page = readFileSync('docs/haproxy.md', 'utf8');
    const defaults = haproxySettings.parse({ socket: '/socket', backend: 'wiki' });
    const given = ['socket', 'backend'];
    for (const [name, value] of Object.entries(defaults)) {
      const shown = given.includes(name) ? '-' : (value ?? 'none');
      expect(page).toContain(`| \`${name}\` | ${shown} |`);
    }
  });

  it('director - with the optional lines, users with a session stay on the lead', async () => {
    const play = async (stage: HaproxyStage, expected: readonly string[]): Promise<void> => {
      const spare = await stage.server('spare1');
      await stage.admit(spare, 'reads');
      expect(await readers(stage, 'SESSION=1234')).toEqual(expected);
      expect(await readers(stage, 'other=1')).toEqual(['spare1', 'web1']);
    };
    await onHaproxy((stage) => play(stage, ['spare1', 'web1']));
    await onHaproxy((stage) => play(stage, ['web1']), {}, [['#? ', '']]);
  });
});
