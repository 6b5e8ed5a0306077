// From an error to what the caller is told: its code, its HTTP status from the registry, one message.
import { codeOf, type ErrorCode, errorRegistry, messageOf } from '../base/mod.ts';

export interface Failure {
  readonly status: number;
  readonly body: { readonly error: { readonly code: ErrorCode | 'INTERNAL'; readonly message: string } };
}

/** Errors of the HTTP framework that are the caller's doing, by its own codes. */
const FRAMEWORK: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'API_TOO_LARGE',
  FST_ERR_HANDLER_TIMEOUT: 'API_TIMEOUT',
};

/** An error of ours by its code, one of the framework by its status; null: a defect of the program. */
export function failureOf(error: unknown): Failure | null {
  const own = codeOf(error);
  if (own !== null) return fail(own, messageOf(error));
  const { code, statusCode, validation } = Object(error) as {
    code?: unknown;
    statusCode?: unknown;
    validation?: readonly { readonly instancePath?: string; readonly message?: string }[];
  };
  if (typeof code === 'string' && FRAMEWORK[code] !== undefined) return fail(FRAMEWORK[code], messageOf(error));
  if (Array.isArray(validation)) return fail('API_INVALID', describe(validation));
  const callersDoing = typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
  return callersDoing ? fail('API_INVALID', messageOf(error)) : null;
}

export function fail(code: ErrorCode, message: string): Failure {
  return { status: errorRegistry[code].http, body: { error: { code, message } } };
}

/** What the caller hears of a defect: nothing of its cause. */
export const INTERNAL: Failure = {
  status: 500,
  body: { error: { code: 'INTERNAL', message: 'a defect of the program; its output has more' } },
};

/** "body/lead: expected string; body/to: ..." */
function describe(issues: readonly { readonly instancePath?: string; readonly message?: string }[]): string {
  const shown = issues.slice(0, 10).map(({ instancePath = '', message = '' }) => {
    return instancePath === '' ? message : `${instancePath.slice(1)}: ${message}`;
  });
  return `the request is not what is taken here: ${shown.join('; ')}`;
}
