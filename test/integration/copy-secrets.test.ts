// Passwords and tokens in the URL of a source are for its server alone, and names of others act on no terminal.
import { readFileSync, renameSync } from 'node:fs';
import { expect, test } from 'vitest';
import { shown } from '../../src/base/mod.ts';
import { failureOf } from '../rig/failure.ts';
import { onStage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';
import { startHostile } from '../support/hostile-web.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];
const PLAN = {
  ranges: 'given',
  validator: 'strong',
  framing: 'length',
  coded: false,
  once: false,
  mischief: [],
} as const;

test('secrets - user, password and token of a URL are in no list, no result, no message and no command line', () =>
  onStage(async (stage) => {
    const { content } = stage.image('golden.img', 4 * MIB);
    const server = await startHostile(PLAN, content, content);
    stage.defer(() => server.close());
    const url = `${server.url.replace('//', '//alice:opensesame@')}/golden.img?token=letmein&part=1`;
    const copy = stage.run(['copy', '--json', ...SHAPE, '--limit', '1M', url, stage.target('a')]);
    const listed = await stage.sees('blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 60);
    expect(listed.source).toBe(`${server.url}/golden.img?token=...&part=1`);
    // All processes of ours: the command, and the one that reads.
    const lines = stage.processes.map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
    expect(lines.length).toBeGreaterThanOrEqual(2);
    await copy.good();
    const wrong = stage.run(['copy', '--json', ...SHAPE, url.replace('golden.img', 'none.img'), '/proc/none/a']);
    await wrong.ended;
    const told = [...lines, JSON.stringify(listed), copy.stdout, copy.stderr, wrong.stdout, wrong.stderr].join('\n');
    for (const secret of ['opensesame', 'letmein', 'alice']) expect(told).not.toContain(secret);
    expect(told).toContain('token=...');
  }));

test('secrets - names with line ends, escapes and turns of direction are written out, in messages and in JSON', () =>
  onStage(async (stage) => {
    const name = 'gol\nunderstudy: done\u001b[2J\u202egmi.nedlog';
    const { path } = stage.image('golden.img', MIB);
    renameSync(path, stage.path(name));
    const missing = stage.copy(['--json', `${stage.path(name)}x`, stage.target('a')]);
    const { message } = await failureOf(missing);
    expect(message).toContain('gol\\x0aunderstudy: done\\x1b[2J\\u202egmi');
    for (const text of [missing.stdout, missing.stderr]) expect(shown(text.trimEnd())).toBe(text.trimEnd());
    await stage.copy(['--json', stage.path(name), stage.target(name)]).good();
    await eventually('the reader has ended', () => stage.producers.length === 0);
  }));
