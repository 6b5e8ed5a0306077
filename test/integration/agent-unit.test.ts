// The systemd unit of the agent, as systemd itself reads it. That it runs with it is tested in a guest.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireTool, runTool } from '../../src/base/mod.ts';

const UNIT = 'packaging/understudy-agent.service';
/** Of 100; a unit without any hardening has 96. */
const EXPOSURE_MAX = 15;

test('agent unit - systemd understands it, and finds it hardly exposed', async () => {
  const analyze = requireTool('systemd-analyze', 'systemd');
  const security = ['security', '--offline=yes', `--threshold=${EXPOSURE_MAX}`, '--no-pager', UNIT];
  const { status, stdout, stderr } = await runTool(analyze, security);
  expect(stdout + stderr).toContain('Overall exposure level');
  expect(status).toBe(0);
  // Its complaints about settings that it does not know are on standard error.
  expect(stderr).toBe('');
});

test('agent unit - it has no right, and starts the bundle where the manual puts it', () => {
  const unit = readFileSync(UNIT, 'utf8');
  expect(unit).toMatch(/^DynamicUser=yes$/m);
  expect(unit).toMatch(/^CapabilityBoundingSet=$/m);
  expect(unit).toMatch(
    /^ExecStart=\/usr\/bin\/node .*\/usr\/lib\/understudy\/agent\.js --config %d\/agent\.json --state %S\/understudy-agent$/m,
  );
  expect(readFileSync('docs/agent.md', 'utf8')).toContain('/usr/lib/understudy/agent.js');
});
