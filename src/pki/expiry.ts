// What has to be known of certificates before it is too late: told by `doctor`, `status` and the metrics alike.
import type { Certificates } from './contract.ts';

/** Expiry is told, and `renew` renews, this long before. */
export const EXPIRY_NOTICE_DAYS = 30;
export const DAY_MS = 86_400_000;

export interface Expiry {
  /** "host-web1"; "authority". */
  readonly title: string;
  readonly kind: 'authority' | 'node' | 'host' | 'user';
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
  readonly state: 'valid' | 'expiring' | 'expired';
  /** One line for people; null while nothing has to be done. */
  readonly notice: string | null;
}

/** Of the authorities, then of all certificates that were not revoked. */
export function expiriesOf(
  { authorities, certificates }: Pick<Certificates, 'authorities' | 'certificates'>,
  nowMs: number,
): readonly Expiry[] {
  const dated = [
    ...authorities.map(({ expiresMs }) => ({
      kind: 'authority' as const,
      name: 'authority',
      title: 'authority',
      expiresMs,
    })),
    ...certificates.filter(({ revoked }) => !revoked),
  ];
  return dated.map(({ kind, name, title, expiresMs }) => {
    const state = stateOf(expiresMs, nowMs);
    return {
      kind,
      name,
      title,
      expiresMs,
      state,
      notice: state === 'valid' ? null : noticeOf(title, expiresMs, nowMs),
    };
  });
}

function stateOf(expiresMs: number, nowMs: number): Expiry['state'] {
  if (expiresMs <= nowMs) return 'expired';
  return expiresMs - nowMs < EXPIRY_NOTICE_DAYS * DAY_MS ? 'expiring' : 'valid';
}

function noticeOf(title: string, expiresMs: number, nowMs: number): string {
  const date = new Date(expiresMs).toISOString().slice(0, 10);
  const days = Math.floor((expiresMs - nowMs) / DAY_MS);
  const when = expiresMs <= nowMs ? `has expired on ${date}` : `expires on ${date}, in ${days} days`;
  if (title !== 'authority') return `certificate ${title} ${when}: understudy pki renew ${title}`;
  return `the authority ${when}: make another one (docs/tls.md, "Another authority")`;
}
