// What an answer says about the file behind it: which bytes it carries, how long the whole is, and which moment of it.
import type { IncomingHttpHeaders } from 'undici/types/header.js';

export type { IncomingHttpHeaders };

/** What can be told of the file that a server gives, from the headers of one answer. */
export interface Representation {
  /** Length of the whole; null where the answer does not say. */
  readonly sizeBytes: number | null;
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** What If-Range may carry: equal for equal bytes only (RFC 9110, 8.8.1); null when the server gives no such thing. */
  readonly strong: string | null;
  /** The content coding; null for the file itself. */
  readonly coding: string | null;
}

export interface ContentRange {
  readonly start: number;
  /** The last byte, as in the header. */
  readonly end: number;
  readonly total: number;
}

/** A header that is there once; null when it is missing or contradicts itself. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' ? value.trim() : null;
}

/** RFC 9110, 14.4; null for another unit, an unknown total, and what contradicts itself. */
export function parseContentRange(text: string | null): ContentRange | null {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(text ?? '');
  if (match === null) return null;
  const [start, end, total] = match.slice(1).map(Number) as [number, number, number];
  return start <= end && end < total ? { start, end, total } : null;
}

/** The whole length that a 416 names behind its asterisk (RFC 9110, 14.4); null when it names none. */
export function unsatisfiedTotal(headers: IncomingHttpHeaders): number | null {
  const match = /^bytes \*\/(\d{1,15})$/i.exec(headerOf(headers, 'content-range') ?? '');
  return match === null ? null : Number(match[1]);
}

/** Content-Length as a number; null when it is missing or malformed. */
export function contentLength(headers: IncomingHttpHeaders): number | null {
  const text = headerOf(headers, 'content-length');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

export function representationOf(status: number, headers: IncomingHttpHeaders): Representation {
  const etag = headerOf(headers, 'etag');
  const lastModified = headerOf(headers, 'last-modified');
  const coding = headerOf(headers, 'content-encoding')?.toLowerCase() ?? '';
  const sizeBytes =
    status === 206
      ? (parseContentRange(headerOf(headers, 'content-range'))?.total ?? null)
      : status === 200
        ? contentLength(headers)
        : null;
  return {
    sizeBytes,
    etag,
    lastModified,
    strong: strongValidator(etag, lastModified, headerOf(headers, 'date')),
    coding: coding === '' || coding === 'identity' ? null : coding,
  };
}

/**
 * An entity tag that is not weak, or a time of change that was over by at least a second when the server answered: what was
 * written in the same second could have the same time (RFC 9110, 8.8.2.2).
 */
function strongValidator(etag: string | null, lastModified: string | null, date: string | null): string | null {
  if (etag !== null) return /^"[^"]*"$/.test(etag) ? etag : null;
  const changedMs = Date.parse(lastModified ?? '');
  const answeredMs = Date.parse(date ?? '');
  return lastModified !== null && answeredMs - changedMs >= 1000 ? lastModified : null;
}

/**
 * Whether two answers can be about the same bytes; what only one of them says counts as a difference. A 206 to If-Range need not
 * repeat the time that was asked with (RFC 9110, 15.3.7).
 */
export function isSame(first: Representation, now: Representation, status: number): boolean {
  if (first.sizeBytes !== null && now.sizeBytes !== null && first.sizeBytes !== now.sizeBytes) return false;
  if (first.coding !== now.coding || first.etag !== now.etag) return false;
  // Servers of one name that share a strong tag need not agree on the time.
  const tagged = first.etag !== null && first.strong === first.etag;
  if (tagged || first.lastModified === now.lastModified) return true;
  return status === 206 && now.lastModified === null && first.strong !== null;
}

/** Equal as long as `isSame` holds; for records and rings. At most 300 characters. */
export function fingerprintOf({ sizeBytes, etag, lastModified, strong, coding }: Representation): string {
  const moment = etag === null ? (lastModified ?? '') : strong === etag ? etag : `${etag} ${lastModified ?? ''}`;
  if (moment === '') return '';
  return `http:${sizeBytes ?? ''}:${coding ?? ''}:${moment}`.slice(0, 300);
}
