// Who may do what by a bearer token (RFC 6750): the file of tokens and the files of agents' tokens, read again when
// they change. A token is looked up by its digest, so that the time of a refusal says nothing about others.
import type { IncomingMessage } from 'node:http';
import { messageOf, UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import type { Identity, IdentitySource, Refusal } from './authentication.ts';
import { readSecret, stampOf } from './token-file.ts';
import { digestOf, LOCAL_NAME, makeToken, parseTokens, type TokenLine, weaknessOf } from './token-lines.ts';

/** Files of agents are many and change rarely: they are looked at so often; the file of tokens at each request. */
const AGENT_LOOK_MS = 250;
const DAY_MS = 86_400_000;
/** An expiry is told so long before. */
const WARNED_DAYS = 14;

const WHERE = 'api.tokensFile and agentTokenFile of understudy.yaml say which are';

type TokenConfiguration = Pick<Configuration, 'api' | 'hosts' | 'services'>;

/** What one file says. */
interface Content {
  readonly lines: readonly TokenLine[];
  readonly problems: readonly string[];
}

interface SourceFile {
  readonly path: string;
  readonly read: () => Content;
  stamp: string;
  content: Content;
}

export interface TokenBookOptions {
  /** @default the machine's clock, milliseconds since 1970 */
  readonly wall?: () => number;
  /** Told of names that came, went or changed, and of lines that do not count any more. */
  readonly onChange?: (lines: readonly string[]) => void;
}

export class TokenBook implements IdentitySource {
  /** Of commands on this machine: made at each start, and written to the state folder, which is its owner's alone. */
  readonly localToken = makeToken();
  readonly #localDigest = digestOf(this.localToken);
  readonly #wall: () => number;
  readonly #onChange: (lines: readonly string[]) => void;
  readonly #people: SourceFile;
  #agents: readonly SourceFile[];
  #byDigest: ReadonlyMap<string, TokenLine> = new Map();
  #lookedMs = 0;

  /**
   * Reads `api.tokensFile` and every `agentTokenFile`.
   * @throws CONFIG_INVALID naming file and line, CONFIG_UNREADABLE
   */
  constructor(
    configuration: TokenConfiguration,
    { wall = Date.now, onChange = () => undefined }: TokenBookOptions = {},
  ) {
    this.#wall = wall;
    this.#onChange = onChange;
    const { tokensFile } = configuration.api;
    this.#people = open(tokensFile, () => readPeople(tokensFile, configuration));
    this.#agents = agentsOf(configuration);
    const problem = [...this.#files.flatMap(({ content }) => content.problems), ...this.#index()][0];
    if (problem !== undefined) throw new UnderstudyError('CONFIG_INVALID', problem);
  }

  /** Hosts and services are others now. @throws CONFIG_INVALID, CONFIG_UNREADABLE for a token of an agent */
  reconfigured(configuration: TokenConfiguration): void {
    this.#agents = agentsOf(configuration);
    // Its lines name hosts and services.
    this.#people.stamp = '';
    this.#refresh();
  }

  /** What works and should not stay so, each in one line. */
  warnings(): readonly string[] {
    const now = this.#wall();
    const { content } = this.#people;
    const clear = content.lines.filter((line) => line.clear !== null).map(({ name }) => name);
    const replace = 'make new ones with understudy token new, and revoke these';
    return [
      ...this.#files.flatMap((file) => file.content.problems),
      ...(clear.length === 0 ? [] : [`api.tokensFile has tokens in clear text (${clear.join(', ')}); ${replace}`]),
      ...content.lines.flatMap(({ name, expiresMs }) => {
        if (expiresMs === null || expiresMs - now > WARNED_DAYS * DAY_MS) return [];
        const when = new Date(expiresMs).toISOString();
        return [`the token of ${name} ${expiresMs <= now ? 'expired' : 'expires'} on ${when}`];
      }),
    ];
  }

  authenticate(request: IncomingMessage): Identity | Refusal | null {
    const { authorization } = request.headers;
    if (authorization === undefined) return null;
    this.#refresh();
    const token = /^bearer +([^ ]+) *$/i.exec(authorization)?.[1];
    const digest = token === undefined ? null : digestOf(token);
    if (digest === this.#localDigest) return { name: LOCAL_NAME, kind: 'token', role: 'operator', services: null };
    const line = digest === null ? undefined : this.#byDigest.get(digest);
    if (line === undefined) return { refusal: `this token is not known; ${WHERE}`, who: null };
    const { name, role, services, expiresMs } = line;
    if (expiresMs !== null && expiresMs <= this.#wall()) {
      return { refusal: `this token expired on ${new Date(expiresMs).toISOString()}`, who: name };
    }
    return { name, kind: 'token', role, services };
  }

  get #files(): readonly SourceFile[] {
    return [this.#people, ...this.#agents];
  }

  #refresh(): void {
    const now = performance.now();
    const looked = now - this.#lookedMs >= AGENT_LOOK_MS ? this.#files : [this.#people];
    if (looked.length > 1) this.#lookedMs = now;
    const before = this.#byDigest;
    if (looked.filter(reread).length === 0) return;
    const told = [...this.#files.flatMap(({ content }) => content.problems), ...this.#index()];
    this.#onChange([...changesBetween(before, this.#byDigest), ...told]);
  }

  /** @returns what does not count because it is somebody else's */
  #index(): readonly string[] {
    const index = new Map<string, TokenLine>();
    const problems: string[] = [];
    for (const line of this.#files.flatMap(({ content }) => content.lines)) {
      if (index.has(line.digest)) problems.push(`the token of ${line.name} is somebody else's too`);
      else index.set(line.digest, line);
    }
    this.#byDigest = index;
    return problems;
  }
}

function agentsOf({ hosts }: TokenConfiguration): readonly SourceFile[] {
  return [...hosts.values()].flatMap(({ name, agentTokenFile: file }) =>
    file === null ? [] : [open(file, () => readAgent(file, name))],
  );
}

function open(path: string, read: () => Content): SourceFile {
  const stamp = stampOf(path);
  return { path, read, stamp, content: read() };
}

/**
 * Whether it has changed. One that cannot be read any more lets nobody in: who takes rights away must not be ignored.
 */
function reread(file: SourceFile): boolean {
  const stamp = stampOf(file.path);
  if (stamp === file.stamp) return false;
  file.stamp = stamp;
  try {
    file.content = file.read();
  } catch (error) {
    file.content = { lines: [], problems: [messageOf(error)] };
  }
  return true;
}

function readPeople(file: string, { hosts, services }: TokenConfiguration): Content {
  const { lines, problems } = parseTokens(file, readSecret(file));
  const right: TokenLine[] = [];
  const wrong = [...problems];
  for (const line of lines) {
    const unknown = line.services?.find((name) => !services.has(name));
    if (unknown !== undefined)
      wrong.push(`${file}: the token of ${line.name} names the service "${unknown}", which does not exist`);
    else if (line.role === 'agent' && !hosts.has(line.name))
      wrong.push(`${file}: there is no host "${line.name}" for this agent`);
    else right.push(line);
  }
  return { lines: right, problems: wrong };
}

function readAgent(file: string, host: string): Content {
  const token = readAgentToken(file);
  const facts = { role: 'agent', name: host, expiresMs: null, services: null } as const;
  return { lines: [{ ...facts, digest: digestOf(token), clear: token }], problems: [] };
}

function changesBetween(
  before: ReadonlyMap<string, TokenLine>,
  after: ReadonlyMap<string, TokenLine>,
): readonly string[] {
  const say = ({ role, name }: TokenLine, what: string): string => `the token of ${name} (${role}) ${what}`;
  const gone = [...before.values()].filter(({ digest }) => !after.has(digest));
  const come = [...after.values()].filter(({ digest }) => !before.has(digest));
  const changed = [...after.values()].filter((line) => {
    const old = before.get(line.digest);
    return old !== undefined && JSON.stringify(old) !== JSON.stringify(line);
  });
  return [
    ...gone.map((line) => say(line, 'is not taken any more')),
    ...come.map((line) => say(line, 'is taken from now on')),
    ...changed.map((line) => say(line, 'has other rights')),
  ];
}

/** The token of a host's agent, as clones get it. @throws CONFIG_INVALID for a weak one too, CONFIG_UNREADABLE */
export function readAgentToken(file: string): string {
  const token = readSecret(file).trim();
  const weakness = weaknessOf(token);
  if (weakness === null) return token;
  throw new UnderstudyError('CONFIG_INVALID', `${file}: ${weakness}; make one with: openssl rand -hex 32`);
}

/** Reads all tokens once. @throws CONFIG_INVALID naming file and line, CONFIG_UNREADABLE */
export async function readTokens(configuration: TokenConfiguration): Promise<TokenBook> {
  return new TokenBook(configuration);
}

/**
 * A token of this role that a client can use: the first of an operator, else of a viewer. @throws CONFIG_INVALID,
 * CONFIG_UNREADABLE
 */
export async function tokenForClient(file: string): Promise<string> {
  const text = readSecret(file);
  // A file with the token alone is what a person is handed.
  if (weaknessOf(text.trim()) === null) return text.trim();
  const { lines, problems } = parseTokens(file, text);
  const [problem] = problems;
  if (problem !== undefined) throw new UnderstudyError('CONFIG_INVALID', problem);
  const { clear } = lines.find((line) => line.role === 'operator' && line.clear !== null) ??
    lines.find((line) => line.role === 'viewer' && line.clear !== null) ?? { clear: null };
  if (clear !== null) return clear;
  const why = lines.length === 0 ? 'there is no token in it' : 'it has digests; name the file with your own token';
  throw new UnderstudyError('CONFIG_INVALID', `${file}: ${why} (--token-file)`);
}
