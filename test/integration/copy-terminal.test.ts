// What a person at a terminal sees: the question before data is lost, a bar for each target, and Ctrl-C.
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage } from '../rig/stage.ts';
import { Terminal } from '../rig/terminal.ts';
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
