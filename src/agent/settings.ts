// What an agent has to be told to begin: its host's name, where the controller is, and its token. From the command line, from a
// file (/etc/understudy/agent.json), or both, the command line winning.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errnoOf, intrusionOn, lookAlong, messageOf, secretProblem, UnderstudyError } from '../base/mod.ts';
import { parseUrl } from './url.ts';

/** Where a host's agent finds its settings when nothing else is said. */
export const SETTINGS_FILE = '/etc/understudy/agent.json';

const SETTINGS_BYTES_MAX = 64 * 1024;
/** b68 characters of RFC 6750. */
const TOKEN = /^[A-Za-z0-9\-._~+/]{1,1024}=*$/;
const HOST = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const FIELDS = ['host', 'controller', 'token', 'tokenFile', 'caFile', 'command'];
const COMMAND_WORDS_MAX = 100;

/** As written on a command line; all may be absent. */
export interface SettingsRequest {
  readonly host?: string | undefined;
  readonly controller?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly caFile?: string | undefined;
  /** @default /etc/understudy/agent.json, which may be absent when the others say everything */
  readonly config?: string | undefined;
}

export interface AgentSettings {
  readonly host: string;
  /** The controller's base, without a slash at its end. */
  readonly controller: string;
  /** Read anew for each report, so that a token can be replaced while the agent runs. @throws CONFIG_UNREADABLE, CONFIG_INVALID */
  token(): string;
  /** PEM certificates that the controller's is checked with; null: the system's. */
  readonly trust: string | null;
  /** The host's own probe, program and arguments; null: none. Only the file can say it. */
  readonly command: readonly string[] | null;
  /** One line each, for people: a token sent without encryption. */
  readonly warnings: readonly string[];
}

/** @throws USAGE, CONFIG_UNREADABLE, CONFIG_INVALID */
export function readSettings(request: SettingsRequest): AgentSettings {
  const file = readSettingsFile(request);
  const host = request.host ?? file.texts.get('host');
  const controller = request.controller ?? file.texts.get('controller');
  const tokenFile = resolved('.', request.tokenFile) ?? resolved(dirname(file.path), file.texts.get('tokenFile'));
  const token = request.tokenFile === undefined ? file.texts.get('token') : undefined;
  if (host === undefined) throw missing('host', '--host NAME', file.path);
  if (controller === undefined) throw missing('controller', '--controller URL', file.path);
  const source = token ?? (tokenFile === null ? undefined : { path: tokenFile });
  if (source === undefined) throw missing('token or tokenFile', '--token-file FILE', file.path);
  if (!HOST.test(host)) throw invalid(`"${host}" is not the name of a host`);
  const caFile = resolved('.', request.caFile) ?? resolved(dirname(file.path), file.texts.get('caFile'));
  const base = controllerBase(controller);
  const readToken = (): string => (typeof source === 'string' ? checkedToken(source, file.path) : tokenIn(source.path));
  readToken();
  requireSecret(typeof source === 'string' ? file.path : source.path);
  return {
    host,
    controller: base.href.replace(/\/+$/, ''),
    token: readToken,
    trust: caFile === null ? null : readText(caFile),
    command: file.command,
    warnings: plainness(base),
  };
}

function missing(field: string, option: string, path: string): UnderstudyError {
  return new UnderstudyError('USAGE', `the agent was not told its ${field}: ${option}, or "${field}" in ${path}`);
}

function invalid(message: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', message);
}

function resolved(folder: string, path: string | undefined): string | null {
  return path === undefined ? null : resolve(folder, path);
}

interface SettingsFile {
  readonly path: string;
  readonly texts: ReadonlyMap<string, string>;
  readonly command: readonly string[] | null;
}

/** The file may be absent only where nobody named it. */
function readSettingsFile(request: SettingsRequest): SettingsFile {
  const path = resolve(request.config ?? SETTINGS_FILE);
  const complete = [request.host, request.controller, request.tokenFile].every((option) => option !== undefined);
  if (request.config === undefined && complete) return { path, texts: new Map(), command: null };
  try {
    const text = readText(path);
    requireOwn(path);
    return { path, ...parseSettings(path, text) };
  } catch (error) {
    const absent = error instanceof UnderstudyError && errnoOf(error.cause) === 'ENOENT';
    if (absent && request.config === undefined) return { path, texts: new Map(), command: null };
    throw error;
  }
}

function parseSettings(path: string, text: string): Omit<SettingsFile, 'path'> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's message may quote what it read, and a token may be in it.
    throw invalid(`${path} is not JSON${/ at position [0-9]+/.exec(messageOf(error))?.[0] ?? ''}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(`${path} is not a JSON object`);
  const texts = new Map<string, string>();
  let command: readonly string[] | null = null;
  for (const [name, content] of Object.entries(value)) {
    if (!FIELDS.includes(name)) throw invalid(`${path}: "${name}" is not known; there are ${FIELDS.join(', ')}`);
    if (name === 'command') {
      command = commandOf(content, path);
      continue;
    }
    if (typeof content !== 'string' || content === '') throw invalid(`${path}: "${name}" is not a text`);
    texts.set(name, content);
  }
  if (texts.has('token') && texts.has('tokenFile'))
    throw invalid(`${path}: "token" and "tokenFile" exclude each other`);
  return { texts, command };
}

function commandOf(content: unknown, path: string): readonly string[] {
  const words: readonly unknown[] = Array.isArray(content) ? content : [];
  const isWord = (word: unknown): word is string => typeof word === 'string' && !word.includes('\0');
  if (words.every(isWord) && words.length <= COMMAND_WORDS_MAX && words[0]?.startsWith('/') === true) return words;
  throw invalid(
    `${path}: "command" is not a list of texts that begins with the path of a program: ["/usr/local/bin/check"]`,
  );
}

function controllerBase(text: string): URL {
  const url = parseUrl(text);
  const plain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (plain && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw invalid(`"${text}" is not the URL of a controller; write for example http://controller.example:7780`);
}

function tokenIn(path: string): string {
  return checkedToken(readText(path).trim(), path);
}

function checkedToken(token: string, path: string): string {
  if (!TOKEN.test(token)) throw invalid(`${path} holds no token: letters, digits and -._~+/ only`);
  return token;
}

function readText(path: string): string {
  try {
    const stats = statSync(path);
    if (!stats.isFile() || stats.size > SETTINGS_BYTES_MAX) {
      throw new UnderstudyError('CONFIG_UNREADABLE', `${path} is not a file of at most ${SETTINGS_BYTES_MAX} bytes`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === null) throw error;
    throw new UnderstudyError('CONFIG_UNREADABLE', `${path} cannot be read: ${errno}`, { cause: error });
  }
}

/**
 * systemd shows a credential to its unit alone, by an access control list that looks like a group's right.
 * @throws CONFIG_INVALID
 */
function requireSecret(path: string): void {
  const problem = isCredential(path) ? null : secretProblem(path);
  if (problem !== null) throw invalid(`${path}, which holds the token, ${problem.text}: ${problem.hint}`);
}

/** The settings name a program that is run. @throws CONFIG_INVALID when others could write them */
function requireOwn(path: string): void {
  const problem = isCredential(path) ? null : intrusionOn(lookAlong(path));
  if (problem !== null) throw invalid(`${path} ${problem.text}: ${problem.hint}`);
}

function isCredential(path: string): boolean {
  const credentials = process.env.CREDENTIALS_DIRECTORY;
  return credentials !== undefined && path.startsWith(`${credentials}/`);
}

function plainness(controller: URL): string[] {
  const here = ['localhost', '[::1]'].includes(controller.hostname) || controller.hostname.startsWith('127.');
  if (controller.protocol === 'https:' || here) return [];
  return [`the token travels unencrypted to ${controller.host}; use https where the network is not yours alone`];
}
