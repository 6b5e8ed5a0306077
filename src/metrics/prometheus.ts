// One number from a Prometheus server: an instant query of its HTTP API (/api/v1/query).
import { readFile } from 'node:fs/promises';
import { errnoOf, messageOf, UnderstudyError } from '../base/mod.ts';
import type { MetricQuery, Metrics } from './contract.ts';

const TIMEOUT_MS = 10_000;
const ANSWER_CHARACTERS_MAX = 1024 * 1024;
const SAID_CHARACTERS_MAX = 200;

interface Answer {
  readonly status?: unknown;
  readonly error?: unknown;
  readonly data?: { readonly resultType?: unknown; readonly result?: unknown };
}

export class Prometheus implements Metrics {
  async read({ url, query, tokenFile }: MetricQuery, signal: AbortSignal): Promise<number | null> {
    const token = tokenFile === null ? null : await tokenIn(tokenFile);
    const answer = await ask(`${url}/api/v1/query`, query, token, signal);
    if (answer.status !== 'success') throw failed(`${url} says: ${String(answer.error).slice(0, SAID_CHARACTERS_MAX)}`);
    return numberIn(answer, query);
  }
}

async function ask(url: string, query: string, token: string | null, signal: AbortSignal): Promise<Answer> {
  let text: string;
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: new URLSearchParams({ query }),
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      // A redirect could take the token elsewhere.
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    text = await response.text();
    // 400 and 422 say in JSON what is wrong with the question.
    if (!response.ok && !text.startsWith('{')) throw failed(`${url} answers ${response.status}`);
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `asking ${url} was stopped`, { cause });
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : messageOf(cause);
    throw failed(`${url} cannot be asked: ${why}`, cause);
  }
  if (text.length > ANSWER_CHARACTERS_MAX) throw failed(`${url} answers with ${text.length} characters`);
  try {
    return JSON.parse(text) as Answer;
  } catch (cause) {
    throw failed(`${url} does not answer as Prometheus does`, cause);
  }
}

/** A scalar, or a vector of at most one series: [seconds, "number"]. */
function numberIn({ data }: Answer, query: string): number | null {
  const { resultType, result } = data ?? {};
  if (resultType === 'scalar' && Array.isArray(result)) return numberOf(result[1]);
  if (resultType !== 'vector' || !Array.isArray(result))
    throw failed(`${query} gives no number: ${String(resultType)}`);
  if (result.length > 1)
    throw failed(`${query} gives ${result.length} series, where one is needed: use sum, max or labels`);
  const [series] = result as readonly { readonly value?: readonly unknown[] }[];
  return series === undefined ? null : numberOf(series.value?.[1]);
}

function numberOf(text: unknown): number | null {
  const value = typeof text === 'string' ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : null;
}

async function tokenIn(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).split('\n', 1)[0]?.trim() ?? '';
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    throw new UnderstudyError('CONFIG_UNREADABLE', `${file} cannot be read: ${errno}`, { cause });
  }
}

function failed(message: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('METRICS_FAILED', message, { cause });
}
