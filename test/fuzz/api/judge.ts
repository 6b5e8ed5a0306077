// What an answer may be: right, or an error as docs/errors.md has it; and never what only the program itself should
// see.
import { type ErrorCode, errorRegistry, isErrorCode } from '../../../src/base/mod.ts';
import { Finding, holds } from '../fuzz.ts';
import type { Sent } from './requests.ts';
import type { Answer, Reply } from './wire.ts';

/** Frames of a stack, and paths of sources. */
const INSIDE =
  /\bat (?:async )?[\w.<>[\] ]*\(?(?:file:|node:|\/)[^\s)]+:\d+|node_modules|\.[mc]?[jt]s:\d+|\[object |at Object\./;

export interface Judge {
  /** Texts that no answer may have: secrets, paths of the machine. */
  readonly secrets: readonly string[];
  /** The file that an operator has read again is named to them. */
  readonly configuration: string;
}

/** What each request came to, as words for a tally. @throws Finding */
export function judge(rules: Judge, sent: Sent, { answers, closed }: Reply): string[] {
  for (const answer of answers) checkAnswer(answer, rules, sent);
  const codes = answers.map(codeOf);
  if (sent.good) {
    const [code = null] = codes;
    holds(answers.length === 1, () => `a good request is not answered: ${sent.what}`);
    holds(!FORM.includes(code ?? ''), () => `refuses a good request as ${code}: ${sent.what}: ${answers[0]?.body}`);
  }
  if (answers.length < sent.count && !closed && !answers.some(({ stream }) => stream)) {
    throw new Finding(`${sent.count - answers.length} requests have no answer: ${sent.what}`);
  }
  const words = answers.map((answer, index) => codes[index] ?? String(answer.status));
  return words.length === 0 ? ['closed'] : words;
}

/** Refusals of what a request looks like. */
const FORM: readonly string[] = ['API_INVALID', 'API_UNAUTHORIZED', 'API_FORBIDDEN', 'API_NOT_FOUND', 'API_TOO_LARGE'];

function codeOf({ status, body }: Answer): ErrorCode | 'INTERNAL' | null {
  if (status < 400 || body === '') return null;
  const { error } = JSON.parse(body) as { error: { code: ErrorCode | 'INTERNAL' } };
  return error.code;
}

function checkAnswer(answer: Answer, { secrets, configuration }: Judge, sent: Sent): void {
  const { status, headers, body } = answer;
  const shown = (): string => `${sent.what}: ${status} ${body.slice(0, 500)}`;
  holds(status >= 200 && status < 600, () => `answers with no status of HTTP: ${shown()}`);
  const rest = body.replaceAll(configuration, '');
  for (const secret of secrets) holds(!rest.includes(secret), () => `shows "${secret}": ${shown()}`);
  for (const [name, value] of headers) {
    holds(!secrets.some((secret) => value.includes(secret)), () => `shows a secret in ${name}: ${shown()}`);
  }
  if (status < 400) return;
  const type = headers.get('content-type') ?? '';
  holds(type.startsWith('application/json'), () => `answers an error as "${type}": ${shown()}`);
  // To HEAD there is no body.
  if (sent.bodiless) return;
  const error = errorIn(body);
  holds(error !== null, () => `answers an error in another form: ${shown()}`);
  if (error === null) return;
  holds(isErrorCode(error.code), () => `fails with ${error.code}: ${shown()}`);
  const { http } = errorRegistry[error.code as ErrorCode];
  holds(http === status, () => `answers ${error.code} with ${status} instead of ${http}: ${shown()}`);
  holds(error.message !== '' && !INSIDE.test(error.message), () => `shows its inside: ${shown()}`);
}

/** {"error": {"code", "message"}} and nothing else. */
function errorIn(body: string): { readonly code: string; readonly message: string } | null {
  try {
    const whole = JSON.parse(body) as Record<string, unknown>;
    const error = whole.error as Record<string, unknown>;
    const keys = [...Object.keys(whole), ...Object.keys(error)].sort();
    const right = keys.join() === 'code,error,message' && typeof error.code === 'string';
    return right && typeof error.message === 'string' ? { code: error.code as string, message: error.message } : null;
  } catch {
    // Not JSON, or not of this form: the answer is null.
    return null;
  }
}
