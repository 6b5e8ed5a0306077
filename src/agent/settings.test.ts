import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOf, messageOf } from '../base/mod.ts';
import { readSettings, type SettingsRequest } from './settings.ts';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-settings-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, content: unknown, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content), { mode });
  chmodSync(path, mode);
  return path;
}

function refusal(request: SettingsRequest): string {
  try {
    readSettings(request);
    return 'taken';
  } catch (error) {
    return `${codeOf(error)}: ${messageOf(error)}`;
  }
}

const complete = { host: 'web1', controller: 'http://127.0.0.1:7780/', token: 'secret-token' };

describe('readSettings', () => {
  it('settings - a file says everything', () => {
    const settings = readSettings({ config: write('agent.json', complete) });
    expect(settings).toMatchObject({ host: 'web1', controller: 'http://127.0.0.1:7780', warnings: [] });
    expect(settings.token()).toBe('secret-token');
  });

  it('settings - the command line wins, and needs no file', () => {
    const tokenFile = write('token', 'other-token\n');
    const config = write('agent.json', complete);
    const settings = readSettings({ config, host: 'web2', controller: 'https://c.example', tokenFile });
    expect([settings.host, settings.controller, settings.token()]).toEqual([
      'web2',
      'https://c.example',
      'other-token',
    ]);
    expect(readSettings({ host: 'web2', controller: 'https://c.example/base', tokenFile }).controller).toBe(
      'https://c.example/base',
    );
  });

  it('settings - files are named from the folder of the settings, and a new token is seen', () => {
    const { token, ...others } = complete;
    write('agent.token', `${token}\n`);
    const settings = readSettings({ config: write('agent.json', { ...others, tokenFile: 'agent.token' }) });
    expect(settings.token()).toBe('secret-token');
    write('agent.token', 'a-new-one');
    expect(settings.token()).toBe('a-new-one');
  });

  it('settings - a secret that others may read, and a program that others may name, are refused', () => {
    const read = (mode: number, content: object) => () => readSettings({ config: write('agent.json', content, mode) });
    expect(read(0o644, complete)).toThrow(
      /agent\.json, which holds the token, can be read .* \(mode 0644\): chmod 600/,
    );
    const { token, ...others } = complete;
    write('agent.token', `${token}\n`);
    expect(read(0o666, { ...others, tokenFile: 'agent.token' })).toThrow(/can be written by other users.*chmod go-w/);
    expect(read(0o644, { ...others, tokenFile: 'agent.token' })).not.toThrow();
  });

  it('settings - a token sent in the clear is warned of', () => {
    const plain = write('a.json', { ...complete, controller: 'http://c:7780', insecure: true });
    expect(readSettings({ config: plain }).warnings).toEqual(['the token travels unencrypted to c:7780 (insecure)']);
    expect(readSettings({ config: write('b.json', { ...complete, controller: 'https://c' }) }).warnings).toEqual([]);
  });

  it.each([
    [{ ...complete, host: undefined }, 'USAGE: the agent was not told its host: --host NAME'],
    [{ ...complete, controller: undefined }, 'USAGE: the agent was not told its controller'],
    [{ ...complete, token: undefined }, 'USAGE: the agent was not told its token or certificate'],
    [{ ...complete, controler: 'x' }, '"controler" is not known; there are host, controller, token, tokenFile, cert, '],
    [{ ...complete, host: 5 }, 'CONFIG_INVALID'],
    [{ ...complete, host: '../web1' }, 'CONFIG_INVALID: "../web1" is not the name of a host'],
    [{ ...complete, controller: 'ftp://c' }, 'CONFIG_INVALID: "ftp://c" is not the URL of a controller'],
    [{ ...complete, controller: 'http://c/?token=x' }, 'is not the URL of a controller'],
    [{ ...complete, token: 'two words' }, 'CONFIG_INVALID'],
    [{ ...complete, token: 'line\r\nfeed' }, 'CONFIG_INVALID'],
    [{ ...complete, tokenFile: 'x' }, '"token" and "tokenFile" exclude each other'],
    [{ host: 'web1', controller: 'https://c', tokenFile: 'absent' }, 'CONFIG_UNREADABLE'],
    [{ ...complete, controller: 'http://c' }, 'API_INSECURE: reports to c would not be encrypted: write https://'],
    [{ ...complete, controller: 'http://c', insecure: 'yes' }, '"insecure" is not true or false'],
    [{ ...complete, cert: 'x', certFile: 'y' }, '"cert" and "certFile" exclude each other'],
    [[], 'is not a JSON object'],
    [' {"token": "secret-token"', 'is not JSON'],
  ])('settings - %j is refused', (content, reason) => {
    const said = refusal({ config: write('agent.json', content) });
    expect(said).toContain(reason);
    expect(said).not.toContain('secret-token');
  });

  it('settings - a file that is named has to be there, the usual one only when something is missing', () => {
    expect(refusal({ config: join(folder, 'absent.json') })).toContain('CONFIG_UNREADABLE');
    expect(refusal({ config: folder })).toContain('CONFIG_UNREADABLE');
    expect(refusal({ host: 'web1' })).toContain('USAGE: the agent was not told its controller');
  });
});
