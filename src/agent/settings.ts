// What an agent has to be told to begin: its host's name, where the controller is, and its token or its certificate.
// From the command line, from a file (/etc/understudy/agent.json), or both, the command line winning.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errnoOf, intrusionOn, isLoopback, lookAlong, messageOf, secretProblem, UnderstudyError } from '../base/mod.ts';
import { type AgentTls, type Source, tlsOf } from './tls.ts';
import { parseUrl } from './url.ts';

/** Where a host's agent finds its settings when nothing else is said. */
export const SETTINGS_FILE = '/etc/understudy/agent.json';

const SETTINGS_BYTES_MAX = 64 * 1024;
/** b68 characters of RFC 6750. */
const TOKEN = /^[A-Za-z0-9\-._~+/]{1,1024}=*$/;
const HOST = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
const TEXTS = ['host', 'controller', 'token', 'tokenFile', 'cert', 'certFile', 'key', 'keyFile', 'ca', 'caFile'];
const FIELDS = [...TEXTS, 'insecure', 'command'];
const COMMAND_WORDS_MAX = 100;

/** As written on a command line; all may be absent. */
export interface SettingsRequest {
  readonly host?: string | undefined;
  readonly controller?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly cacert?: string | undefined;
  readonly cert?: string | undefined;
  /** @default the name of `cert` with .key */
  readonly key?: string | undefined;
  readonly insecure?: boolean | undefined;
  /** @default /etc/understudy/agent.json, which may be absent when the others say everything */
  readonly config?: string | undefined;
}

export interface AgentSettings {
  readonly host: string;
  /** The controller's base, without a slash at its end. */
  readonly controller: string;
  /**
   * Read again for each report, so that it can be replaced while the agent runs. null: the certificate says who
   * reports.
   * @throws CONFIG_UNREADABLE, CONFIG_INVALID
   */
  token(): string | null;
  /**
   * Read again for each report too: a renewed certificate is shown with the next one. @throws CERTIFICATE_INVALID,
   * CONFIG_UNREADABLE
   */
  tls(): Promise<AgentTls>;
  /** The host's own probe, program and arguments; null: none. Only the file can say it. */
  readonly command: readonly string[] | null;
  /** One line each, for people: a token sent without encryption. */
  readonly warnings: readonly string[];
}

/** @throws USAGE, CONFIG_UNREADABLE, CONFIG_INVALID, API_INSECURE */
export function readSettings(request: SettingsRequest): AgentSettings {
  const file = readSettingsFile(request);
  const host = request.host ?? file.texts.get('host');
  const controller = request.controller ?? file.texts.get('controller');
  if (host === undefined) throw missing('host', '--host NAME', file.path);
  if (controller === undefined) throw missing('controller', '--controller URL', file.path);
  const source = (option: string | undefined, name: string): Source | null => sourceOf(option, name, file);
  const token = source(request.tokenFile, 'token');
  const cert = source(request.cert, 'cert');
  if (token === null && cert === null) {
    throw missing('token or certificate', '--token-file FILE or --cert FILE', file.path, 'tokenFile');
  }
  if (!HOST.test(host)) throw invalid(`"${host}" is not the name of a host`);
  const base = controllerBase(controller);
  const plain = plainness(base, request.insecure ?? file.insecure);
  const readToken = (): string | null => (token === null ? null : tokenIn(token, file.path));
  readToken();
  if (token !== null) requireSecret(token.kind === 'text' ? file.path : token.path);
  const sources = { cert, key: source(request.key, 'key'), authority: source(request.cacert, 'ca') };
  return {
    host,
    controller: base.href.replace(/\/+$/, ''),
    token: readToken,
    tls: () => tlsOf(sources, file.path),
    command: file.command,
    warnings: plain,
  };
}

function missing(what: string, option: string, path: string, field = what): UnderstudyError {
  return new UnderstudyError('USAGE', `the agent was not told its ${what}: ${option}, or "${field}" in ${path}`);
}

/** An option names a file; the settings hold the text itself, or name a file from their own folder. */
function sourceOf(option: string | undefined, name: string, { path, texts }: SettingsFile): Source | null {
  if (option !== undefined) return { kind: 'file', path: resolve(option) };
  const [text, file] = [texts.get(name), texts.get(`${name}File`)];
  if (text !== undefined) return { kind: 'text', text };
  return file === undefined ? null : { kind: 'file', path: resolve(dirname(path), file) };
}

function invalid(message: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', message);
}

interface SettingsFile {
  readonly path: string;
  readonly texts: ReadonlyMap<string, string>;
  readonly insecure: boolean;
  readonly command: readonly string[] | null;
}

/** The file may be absent only where nobody named it. */
function readSettingsFile(request: SettingsRequest): SettingsFile {
  const path = resolve(request.config ?? SETTINGS_FILE);
  const said = [request.host, request.controller, request.tokenFile ?? request.cert];
  const nothing = { path, texts: new Map<string, string>(), insecure: false, command: null };
  if (request.config === undefined && said.every((option) => option !== undefined)) return nothing;
  try {
    const text = readText(path);
    requireOwn(path);
    return { path, ...parseSettings(path, text) };
  } catch (error) {
    const absent = error instanceof UnderstudyError && errnoOf(error.cause) === 'ENOENT';
    if (absent && request.config === undefined) return nothing;
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
  let insecure = false;
  for (const [name, content] of Object.entries(value)) {
    if (!FIELDS.includes(name)) throw invalid(`${path}: "${name}" is not known; there are ${FIELDS.join(', ')}`);
    if (name === 'command') {
      command = commandOf(content, path);
      continue;
    }
    if (name === 'insecure') {
      if (typeof content !== 'boolean') throw invalid(`${path}: "insecure" is not true or false`);
      insecure = content;
      continue;
    }
    if (typeof content !== 'string' || content === '') throw invalid(`${path}: "${name}" is not a text`);
    texts.set(name, content);
  }
  for (const name of ['token', 'cert', 'key', 'ca']) {
    if (texts.has(name) && texts.has(`${name}File`)) {
      throw invalid(`${path}: "${name}" and "${name}File" exclude each other`);
    }
  }
  return { texts, insecure, command };
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
  throw invalid(`"${text}" is not the URL of a controller; write for example https://controller.example:7780`);
}

function tokenIn(source: Source, settings: string): string {
  return source.kind === 'text'
    ? checkedToken(source.text, settings)
    : checkedToken(readText(source.path).trim(), source.path);
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

function plainness(controller: URL, insecure: boolean): string[] {
  if (controller.protocol === 'https:' || isLoopback(controller.hostname)) return [];
  if (insecure) return [`the token travels unencrypted to ${controller.host} (insecure)`];
  throw new UnderstudyError(
    'API_INSECURE',
    `reports to ${controller.host} would not be encrypted: write https:// (docs/tls.md), or allow it with --insecure`,
  );
}
