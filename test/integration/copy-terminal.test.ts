// What a person at a terminal sees: the question before data is lost, a bar for each target, and Ctrl-C.
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage } from '../rig/stage.ts';
import { Terminal } from '../rig/terminal.ts';
import { eventually } from '../rig/wait.ts';
import { diskBytes } from '../support/packed-image.ts';

const MIB = 1024 * 1024;

test('terminal - a target that holds data is overwritten after a typed yes', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', diskBytes(2 * MIB));
    writeFileSync(stage.target('a'), randomBytesOf(2, 3000));
    const terminal = Terminal.run(stage, ['copy', image.path, stage.target('a')]);
    await terminal.shows(/a, 2\.93 KiB, holds file of 2\.93 KiB\. Type yes to overwrite it:/);
    terminal.type('yes');
    await terminal.shows(/2\.00 MiB copied in [\d.]+s\s+status 0/);
    expect(stage.difference('a', image.content)).toBe(null);
    terminal.close();
  }));

test.each(['no', 'y', ''])('terminal - anything but yes leaves the target alone: "%s"', (answer) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    const old = stage.allow(randomBytesOf(2, 3000));
    writeFileSync(stage.target('a'), old);
    const terminal = Terminal.run(stage, ['copy', image.path, stage.target('a')]);
    await terminal.shows(/Type yes to overwrite it:/);
    terminal.type(answer);
    await terminal.shows(/nothing was written \(TARGET_NOT_CONFIRMED\)\s+status 4/);
    expect(stage.difference('a', old)).toBe(null);
    expect(stage.targets).toEqual(['a']);
    terminal.close();
  }),
);

test('terminal - a bar with rate, time left and state for each target', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const args = ['copy', '--block-size', '64K', '--limit', '3M', image.path, stage.target('a'), stage.target('b')];
    const terminal = Terminal.run(stage, args);
    const bar = String.raw`\[#+\.*\] +\d+ % {2}[\d.]+ MiB\/s {2}[\d.]+s left {2}(copying|waiting for the source)`;
    await terminal.shows(new RegExp(`/a {2}${bar}\\n.*/b {2}${bar}`));
    const end = await terminal.shows(/status 0/);
    expect(end).not.toContain('[#');
    expect(end).toMatch(/a: 8\.00 MiB copied in .*\n.*b: 8\.00 MiB copied in /);
    terminal.close();
  }));

test('terminal - a joiner says where it joined, and that it waits for the source', () =>
  onStage(async (stage) => {
    const block = 64 * 1024;
    const content = randomBytesOf(5, 40 * block);
    const source = await GatedSource.start(stage, content, 20 * block);
    const first = stage.copyJson('--block-size', '64K', '--buffer', '512K', source.uri, stage.target('a'));
    await stage.sees('half of it', ({ consumers }) => consumers[0]?.blocksLeft === 20);
    const terminal = Terminal.run(stage, ['copy', '--join', 'newest', source.uri, stage.target('b')]);
    await terminal.shows(/b {2}\[#\.+\] +2 % {2}waiting for the source, joined at 47 %/);
    source.open();
    await terminal.shows(/status 0/);
    await first.good();
    expect([stage.difference('a', content), stage.difference('b', content)]).toEqual([null, null]);
    terminal.close();
  }));

test('terminal - Ctrl-C ends the copy and says how to go on', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * MIB);
    const terminal = Terminal.run(stage, [
      'copy',
      '--block-size',
      '64K',
      '--limit',
      '2M',
      image.path,
      stage.target('a'),
    ]);
    await terminal.shows(/ {2}copying/);
    terminal.type('', 'C-c');
    await terminal.shows(/the copy was stopped \(INTERRUPTED\); --resume goes on from here\s+status 130/);
    expect(stage.targets).toEqual(['a.partial', 'a.partial.resume']);
    terminal.close();
  }));

test.each(['C-c', 'C-d'])('terminal - %s at the question writes nothing', (key) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    const old = stage.allow(randomBytesOf(2, 3000));
    writeFileSync(stage.target('a'), old);
    const terminal = Terminal.run(stage, ['copy', '--json', image.path, stage.target('a')]);
    await terminal.shows(/Type yes to overwrite it:/);
    terminal.type('', key);
    const wanted = key === 'C-c' ? /"code":"INTERRUPTED".*status 130/s : /"code":"TARGET_NOT_CONFIRMED".*status 4/s;
    await terminal.shows(wanted);
    expect(stage.difference('a', old)).toBe(null);
    expect(stage.targets).toEqual(['a']);
    terminal.close();
  }),
);

test('terminal - questions about several targets come one after the other', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    for (const name of ['a', 'b']) writeFileSync(stage.target(name), stage.allow(randomBytesOf(2, 3000)));
    const terminal = Terminal.run(stage, ['copy', image.path, stage.target('a'), stage.target('b')]);
    const first = await terminal.shows(/Type yes to overwrite it:/);
    expect(first.match(/Type yes/g)).toHaveLength(1);
    terminal.type('yes');
    await terminal.shows(/Type yes.*Type yes/s);
    terminal.type('no');
    await terminal.shows(/a: 2\.00 MiB copied.*b holds .*TARGET_NOT_CONFIRMED.*status 4/s);
    expect(stage.difference('a', image.content)).toBe(null);
    terminal.close();
  }));

test.each([
  [20, 80, 10],
  [5, 40, 24],
  [3, 20, 4],
  [70, 60, 3],
])('terminal - %i targets on %i columns and %i rows: nothing scrolls, the numbers are there', (count, columns, rows) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const names = Array.from({ length: count }, (_, index) => stage.target(`target-${index}-${'wide中文'.repeat(8)}`));
    const args = ['copy', '--block-size', '64K', '--limit', '1M', image.path, ...names];
    const terminal = Terminal.run(stage, args, { columns, rows });
    // Percent, rate and time left in each line that is shown.
    await terminal.shows(/^(?!.*defect).*\d+ ?%.*[\d.]+ ?[KM](iB)?\/s.*[\d.]+s/m);
    expect(terminal.history.split('\n').filter((text) => text.trim() !== '').length).toBeLessThan(rows);
    for (const text of terminal.rows.filter((one) => one.trim() !== '')) expect(text).toMatch(/\d+ ?%/);
    terminal.close();
  }),
);

test('terminal - it is made smaller and larger while the copy runs', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 12 * MIB);
    const names = ['a', 'b', 'c', 'd'].map((name) => stage.target(name.repeat(60)));
    const args = ['copy', '--block-size', '64K', '--limit', '1M', image.path, ...names];
    const terminal = Terminal.run(stage, args, { columns: 120, rows: 20 });
    const each = (lines: number) => new RegExp(`^(.*\\d ?%.*/s.*s.*\\n){${lines}}\\s*$`);
    // By rows: the terminal still counts lines as broken that were, before they were drawn again.
    const shows = (lines: number) => eventually('the rows', () => each(lines).test(`${terminal.rows.join('\n')}\n`));
    await shows(4);
    for (const [columns, rows, lines] of [
      [50, 20, 4],
      [110, 20, 4],
      [30, 4, 3],
    ] as const) {
      terminal.resize({ columns, rows });
      await shows(lines);
    }
    terminal.close();
  }));
