// The text of a file of tokens, pure. A line is `ROLE NAME sha256:DIGEST [expires=TIME] [services=A,B]`; what is empty
// or begins with "#" says nothing. In the form of earlier versions the token itself stands where the digest is. Tokens
// are random and long, so a plain digest of one cannot be turned back (there is nothing to guess, as there is with
// passwords).
import { createHash, randomBytes } from 'node:crypto';
import type { Role } from './authentication.ts';

export interface TokenLine {
  readonly role: Role;
  readonly name: string;
  /** SHA-256 of the token, in hexadecimal. */
  readonly digest: string;
  /** The token itself, where the file has it; null: it has the digest only. */
  readonly clear: string | null;
  /** Milliseconds since 1970; null: it does not expire. */
  readonly expiresMs: number | null;
  /** null: all. */
  readonly services: readonly string[] | null;
}

export interface TokenText {
  readonly lines: readonly TokenLine[];
  /** "FILE:LINE:1: ...": lines that do not count. */
  readonly problems: readonly string[];
}

/** Visible ASCII as RFC 6750 has it. */
const TOKEN = /^[A-Za-z0-9._~+/=-]{16,512}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/;
const SERVICE = /^[a-z0-9][a-z0-9-]{0,62}$/;
const DISTINCT_MIN = 8;
const TOKEN_BYTES = 32;

export const WHAT_A_TOKEN_IS = 'a token is 16 to 512 letters, digits and "._~+/=-"';
/** For people and programs; an agent's own file has the token itself, because clones get it. */
const ADVICE = 'understudy token new makes one';
const WHAT_A_LINE_IS = 'a line is "ROLE NAME TOKEN", and ROLE is viewer, operator or agent';

/** Of whoever asks on this machine with what the controller itself has written. */
export const LOCAL_NAME = 'local';

export function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** 256 random bits in 43 characters. */
export function makeToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** What forbids the use of a token; null: nothing does. */
export function weaknessOf(token: string): string | null {
  if (!TOKEN.test(token)) return WHAT_A_TOKEN_IS;
  const distinct = new Set(token).size;
  if (distinct >= DISTINCT_MIN) return null;
  return `a token with ${distinct} different characters can be guessed`;
}

export function isName(text: string): boolean {
  return NAME.test(text) && text !== LOCAL_NAME;
}

export function parseTokens(file: string, text: string): TokenText {
  const lines: TokenLine[] = [];
  const problems: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const parsed = parseLine(line);
    if (typeof parsed === 'string') problems.push(`${file}:${index + 1}:1: ${parsed}`);
    else lines.push(parsed);
  }
  return { lines, problems };
}

/** What is wrong with it, as a text. */
export function parseLine(line: string): TokenLine | string {
  const [role = '', name = '', secret = '', ...rest] = line.trim().split(/[ \t]+/);
  if (role !== 'viewer' && role !== 'operator' && role !== 'agent') return WHAT_A_LINE_IS;
  if (!NAME.test(name)) return 'a name is letters, digits and "._@-", at most 63';
  if (name === LOCAL_NAME) return `the name "${LOCAL_NAME}" is that of commands on the controller's own machine`;
  const isDigest = secret.startsWith('sha256:');
  if (isDigest && !DIGEST.test(secret)) return 'a digest is "sha256:" and 64 hexadecimal digits';
  const weakness = isDigest ? null : weaknessOf(secret);
  if (weakness !== null) return `${weakness}; ${ADVICE}`;
  const facts = { role, name, expiresMs: null, services: null } as const;
  const digest = isDigest ? secret.slice('sha256:'.length) : digestOf(secret);
  return withOptions({ ...facts, digest, clear: isDigest ? null : secret }, rest);
}

function withOptions(line: TokenLine, options: readonly string[]): TokenLine | string {
  let whole = line;
  for (const option of options) {
    const [, key, value = ''] = /^(expires|services)=(.+)$/.exec(option) ?? [];
    if (key === 'expires' && whole.expiresMs === null && Number.isFinite(Date.parse(value))) {
      whole = { ...whole, expiresMs: Date.parse(value) };
    } else if (key === 'services' && whole.services === null && line.role === 'operator') {
      const services = value.split(',');
      if (!services.every((name) => SERVICE.test(name))) return `"${value}" is not a list of services: wiki,shop`;
      whole = { ...whole, services };
    } else if (key === 'services' && line.role !== 'operator') return 'only an operator can be limited to services';
    // Almost always a token with a space in it, which is not to be told.
    else return `what follows the token is neither expires=TIME nor services=A,B, once each; ${WHAT_A_TOKEN_IS}`;
  }
  return whole;
}

export function formatLine({ role, name, digest, expiresMs, services }: Omit<TokenLine, 'clear'>): string {
  const expires = expiresMs === null ? '' : ` expires=${new Date(expiresMs).toISOString()}`;
  return `${role} ${name} sha256:${digest}${expires}${services === null ? '' : ` services=${services.join(',')}`}`;
}
