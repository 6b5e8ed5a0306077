// Configuration that somebody else could write, and secrets that somebody else could read, are refused with what to do.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import * as z from 'zod';
import { messageOf, secretProblem } from '../../src/base/mod.ts';
import { loadConfiguration, loadRules } from '../../src/config/mod.ts';
import { asStranger, STRANGER } from '../rig/stranger.ts';
import { ConfigFolder, changed, drivers, GOOD } from '../support/config-folder.ts';

const path = z.string().meta({ format: 'path' });
const secretPlug = z.strictObject({ socket: path, outlet: z.int(), passwordFile: path.optional() });

let config: ConfigFolder;
let open: string;
beforeEach(() => {
  config = new ConfigFolder();
  // The stranger has to be able to reach it.
  open = mkdtempSync('/tmp/understudy-config-');
  chmodSync(open, 0o755);
});
afterEach(() => {
  config.remove();
  rmSync(open, { recursive: true, force: true });
});

async function complaintOf(path: string): Promise<string> {
  try {
    await loadConfiguration(path, drivers);
  } catch (error) {
    return messageOf(error).replaceAll(`${config.folder}/`, '').replaceAll(`${open}/`, '');
  }
  return 'taken';
}

it.each([0o666, 0o646, 0o602])('config - a file of mode %o is refused', async (mode) => {
  const path = config.write();
  chmodSync(path, mode);
  const text = `the file can be written by other users (mode 0${mode.toString(8)})`;
  expect(await complaintOf(path)).toContain(`understudy.yaml:1:1: ${text}`);
  expect(await complaintOf(path)).toContain('chmod go-w');
  chmodSync(path, 0o644);
  expect(await complaintOf(path)).toBe('taken');
});

it('config - a file of another user, or that a group can write, is refused', async () => {
  const path = config.write();
  chownSync(path, STRANGER, 0);
  expect(await complaintOf(path)).toMatch(/belongs to user 4711 .*chown 0 /);
  chownSync(path, 0, STRANGER);
  chmodSync(path, 0o664);
  expect(await complaintOf(path)).toMatch(/can be written by other users \(mode 0664\).*chmod g-w/);
});

it('config - a folder in which others can put another file is refused; a sticky one is not', async () => {
  const path = config.write();
  chmodSync(config.folder, 0o777);
  expect(await complaintOf(path)).toMatch(/lies in .*, which can be written by other users \(mode 0777\)/);
  const inner = config.path('inner');
  mkdirSync(inner);
  renameSync(path, join(inner, 'understudy.yaml'));
  expect(await complaintOf(join(inner, 'understudy.yaml'))).toMatch(/lies in .* \(mode 0777\)/);
  chmodSync(config.folder, 0o1777);
  renameSync(join(inner, 'understudy.yaml'), path);
  expect(await complaintOf(path)).toBe('taken');
});

it('config - a link of another user is not followed, one of root’s is', async () => {
  const path = config.write();
  chmodSync(open, 0o1777);
  asStranger('ln -s "$1" "$2"', path, join(open, 'theirs'));
  expect(await complaintOf(join(open, 'theirs'))).toMatch(/reached over the symbolic link theirs of user 4711/);
  symlinkSync(path, join(open, 'ours'));
  // Its paths begin at the folder of the link.
  expect(await complaintOf(join(open, 'ours'))).toMatch(/^ours:4:15: api\.tokensFile: secrets\/api does not exist/);
});

it('config - a file of rules that others can write is refused, for rules run programs', async () => {
  const path = config.path('rules.yaml');
  writeFileSync(path, 'rules: []\n');
  chmodSync(path, 0o666);
  await expect(loadRules(path)).rejects.toThrow(/can be written by other users/);
});

it.each(['state', 'storage.folder'])(
  'config - a folder of %s that others can write, or move, is refused',
  async (entry) => {
    const name = `${entry.replace('.', '-')}/deep`;
    const [upper, folder] = [join(open, entry.replace('.', '-')), join(open, name)];
    const text =
      entry === 'state' ? changed('state: state', `state: ${folder}`) : `${GOOD}storage: { folder: ${folder} }\n`;
    const complaint = () => complaintOf(config.write(text));
    // Not there: it will be made for this user alone.
    expect(await complaint()).toBe('taken');
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    expect(await complaint()).toBe('taken');
    chmodSync(folder, 0o777);
    expect(await complaint()).toMatch(
      new RegExp(`^understudy.yaml:[0-9]+:[0-9]+: ${entry}: ${name} can be written by`),
    );
    chmodSync(folder, 0o1777);
    expect(await complaint()).toContain('can be written by other users (mode 01777)');
    chmodSync(folder, 0o700);
    chownSync(folder, STRANGER, 0);
    expect(await complaint()).toContain('belongs to user 4711');
    chownSync(folder, 0, STRANGER);
    chmodSync(folder, 0o770);
    expect(await complaint()).toContain('(mode 0770)');
    rmSync(folder, { recursive: true });
    chmodSync(upper, 0o777);
    expect(await complaint()).toMatch(/lies in .*, which can be written by other users \(mode 0777\)/);
    chmodSync(upper, 0o1777);
    expect(await complaint()).toBe('taken');
    asStranger('mkdir "$1"', folder);
    expect(await complaint()).toContain('belongs to user 4711');
  },
);

it('config - a secret that a driver names is looked at as every other one', async () => {
  const text = changed(
    'settings: { socket: run/plug, outlet: 1 }',
    'settings: { socket: run/plug, outlet: 1, passwordFile: secrets/bmc }',
  );
  const withPassword = { ...drivers, power: { plug: secretPlug } };
  const load = (): Promise<unknown> => loadConfiguration(config.write(text), withPassword);
  config.secret('bmc', 'opensesame\n', 0o644);
  await expect(load()).rejects.toThrow(
    /hosts\.web1\.power\.settings\.passwordFile: .*bmc can be read or changed by others \(mode 0644\) \(chmod 600/,
  );
  config.secret('bmc', 'opensesame\n');
  await expect(load()).resolves.toBeDefined();
});

it('secret - a link of another user, and a folder in which others can put another file', () => {
  const path = config.secret('x', 'y');
  expect(secretProblem(path)).toBe(null);
  chmodSync(open, 0o1777);
  asStranger('ln -s "$1" "$2"', path, join(open, 'theirs'));
  expect(secretProblem(join(open, 'theirs'))?.text).toContain('user 4711');
  chmodSync(config.path('secrets'), 0o777);
  expect(secretProblem(path)?.text).toContain('which can be written by other users');
});
