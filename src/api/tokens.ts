// Who may do what: bearer tokens (RFC 6750) from files that only their owner can read. Tokens are compared by digest, each with
// each, so that the time of a refusal says nothing about them.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { messageOf, secretProblem, UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';

/** An operator may do what a viewer may. An agent may report for its own host and nothing else. */
export type Role = 'viewer' | 'operator';

export type Caller = { readonly role: Role; readonly name: string } | { readonly role: 'agent'; readonly host: string };

export interface Tokens {
  /** @param authorization the header; null: nobody that is known */
  callerOf(authorization: string | undefined): Caller | null;
}

interface Entry {
  readonly digest: Buffer;
  readonly caller: Caller;
}

/** Visible ASCII as RFC 6750 has it, long enough that nobody guesses it. */
const TOKEN = /^[A-Za-z0-9._~+/=-]{16,512}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/;

/**
 * Reads `api.tokensFile` and every `agentTokenFile`.
 * @throws CONFIG_INVALID naming file and line, CONFIG_UNREADABLE
 */
export async function readTokens(configuration: Pick<Configuration, 'api' | 'hosts'>): Promise<Tokens> {
  const { tokensFile } = configuration.api;
  const entries = parseTokens(tokensFile, await readSecret(tokensFile));
  for (const { name, agentTokenFile } of configuration.hosts.values()) {
    if (agentTokenFile === null) continue;
    const token = (await readSecret(agentTokenFile)).trim();
    if (!TOKEN.test(token)) throw invalid(`${agentTokenFile}: ${WHAT_A_TOKEN_IS}`);
    entries.push({ digest: digestOf(token), caller: { role: 'agent', host: name } });
  }
  const seen = new Set<string>();
  for (const { digest, caller } of entries) {
    const text = digest.toString('hex');
    if (seen.has(text))
      throw invalid(`the token of ${caller.role === 'agent' ? caller.host : caller.name} is somebody else's too`);
    seen.add(text);
  }
  return { callerOf: (authorization) => find(entries, authorization) };
}

const WHAT_A_TOKEN_IS = 'a token is 16 to 512 letters, digits and "._~+/=-"; make one with: openssl rand -hex 32';

/** Lines `ROLE NAME TOKEN`; empty ones and those that begin with "#" say nothing. @throws CONFIG_INVALID */
export function parseTokens(file: string, text: string): Entry[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const [role = '', name = '', token = '', ...rest] = line.trim().split(/[ \t]+/);
    const at = `${file}:${index + 1}:1`;
    if (role !== 'viewer' && role !== 'operator') {
      throw invalid(`${at}: a line is "ROLE NAME TOKEN", and ROLE is viewer or operator`);
    }
    if (!NAME.test(name)) throw invalid(`${at}: a name is letters, digits and "._@-", at most 63`);
    if (!TOKEN.test(token) || rest.length > 0) throw invalid(`${at}: ${WHAT_A_TOKEN_IS}`);
    return [{ digest: digestOf(token), caller: { role, name } }];
  });
}

/** A token of this role that a client can use: the first of an operator, else of a viewer. @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export async function tokenForClient(file: string): Promise<string> {
  const text = await readSecret(file);
  // A file with the token alone is what a person is handed.
  if (TOKEN.test(text.trim())) return text.trim();
  parseTokens(file, text);
  const lines = text.split('\n').map((line) => line.trim().split(/[ \t]+/));
  const token = (lines.find(([role]) => role === 'operator') ?? lines.find(([role]) => role === 'viewer'))?.[2];
  if (token === undefined) throw invalid(`${file}: there is no token in it`);
  return token;
}

async function readSecret(file: string): Promise<string> {
  const problem = secretProblem(file);
  if (problem !== null) throw invalid(`${file} ${problem.text} (${problem.hint})`);
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new UnderstudyError('CONFIG_UNREADABLE', `${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function invalid(text: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', text);
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function find(entries: readonly Entry[], authorization: string | undefined): Caller | null {
  const token = /^bearer +([^ ]+) *$/i.exec(authorization ?? '')?.[1];
  if (token === undefined) return null;
  const digest = digestOf(token);
  let found: Caller | null = null;
  // All of them, also after the right one.
  for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) found = entry.caller;
  return found;
}
