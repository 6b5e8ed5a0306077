// What the systems' own tools make of a network configuration: netplan generate, ifquery(8), nmcli(1).
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';

type Files = Readonly<Record<string, string>>;

const UUID = 'a1b2c3d4-0000-4000-8000-000000000001';

/**
 * What the tools whose configuration is among the files say, by what it is about. @throws when a tool refuses a file
 */
export function readByTools(files: Files): Readonly<Record<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-network-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
      chmodSync(join(folder, path), 0o600);
    }
    return { ...byNetplan(folder, files), ...byIfquery(folder, files), ...byNmcli(files) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function byNetplan(folder: string, files: Files): Record<string, string> {
  if (!Object.keys(files).some((path) => path.includes('/netplan/'))) return {};
  tool('netplan', ['generate', '--root-dir', folder]);
  const made = join(folder, 'run/systemd/network');
  const names = existsSync(made) ? readdirSync(made) : [];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(made, name), 'utf8')]));
}

/** In a namespace where the configuration has its own place, for it names other files by absolute paths. */
function byIfquery(folder: string, files: Files): Record<string, string> {
  if (!('/etc/network/interfaces' in files)) return {};
  const places = ['/etc/network', '/srv'].filter((path) => existsSync(join(folder, path)));
  const bound = places.flatMap((path) => ['--bind', join(folder, path), path]);
  const ask = (...args: readonly string[]): string =>
    tool('bwrap', [
      '--ro-bind',
      '/',
      '/',
      '--tmpfs',
      '/etc',
      ...bound,
      'ifquery',
      '-i',
      '/etc/network/interfaces',
      ...args,
    ]);
  const names = Object.values(files).flatMap((text) =>
    [...text.matchAll(/^iface (\S+)/gm)].map((match) => match[1] ?? ''),
  );
  const known = names.filter((name) => name !== 'lo');
  return Object.fromEntries([['started', ask('--list', '--all')], ...known.map((name) => [name, ask(name)])]);
}

function byNmcli(files: Files): Record<string, string> {
  const profiles = Object.entries(files).filter(([path]) => path.includes('/system-connections/'));
  return Object.fromEntries(
    profiles.map(([path, text]) => {
      const named = text.replace(/^uuid=.*$/m, `uuid=${UUID}`);
      const profile = named.includes('uuid=') ? named : named.replace('[connection]\n', `[connection]\nuuid=${UUID}\n`);
      return [
        path,
        tool('nmcli', ['--offline', 'connection', 'modify', 'connection.autoconnect-retries', '3'], profile),
      ];
    }),
  );
}

function tool(command: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', input });
  expect(status, `${command} ${args.join(' ')}: ${stderr}`).toBe(0);
  return stdout;
}
