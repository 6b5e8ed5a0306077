// The service as its users see it, measured from the host itself: one GET, or one connection, from the first packet to
// the last byte. Seed row P23.
import { connect } from 'node:net';
import type { Clock } from '../base/mod.ts';
import { exchange, reasonOf } from './exchange.ts';
import type { AgentProbe } from './protocol.ts';

export type ProbeResult =
  | { readonly kind: 'answer'; readonly milliseconds: number }
  /**
   * The service did not do what its users want. `atLeastMs`: how long it would have taken at least, where only time or
   * room was lacking; null for what waiting would not have changed.
   */
  | { readonly kind: 'failure'; readonly reason: string; readonly atLeastMs: number | null };

/**
 * "Too Many Requests" (RFC 6585), "Bad Gateway", "Service Unavailable", "Gateway Timeout" (RFC 9110): what servers and
 * the proxies before them say when they have no room. Their users have not been served within the time-out, however
 * quickly they were told.
 */
const TURNED_AWAY: readonly number[] = [429, 502, 503, 504];

/** A page that is longer is not one to ask for once a second. */
const PAGE_BYTES_MAX = 1024 * 1024;

/** Never rejects. */
export function probeService(probe: AgentProbe, clock: Clock, signal: AbortSignal): Promise<ProbeResult> {
  const url = new URL(probe.url);
  return url.protocol === 'tcp:' ? probeTcp(url, probe, clock, signal) : probeHttp(url, probe, clock, signal);
}

async function probeHttp(url: URL, probe: AgentProbe, clock: Clock, signal: AbortSignal): Promise<ProbeResult> {
  const startMs = clock.nowMs();
  const exchanged = await exchange({
    url,
    method: 'GET',
    headers: { accept: '*/*' },
    body: null,
    timeoutMs: probe.timeoutMs,
    answerBytesMax: PAGE_BYTES_MAX,
    tls: null,
    signal,
  });
  const milliseconds = clock.nowMs() - startMs;
  if (exchanged.kind === 'failure') {
    return { kind: 'failure', reason: exchanged.reason, atLeastMs: exchanged.timedOut ? milliseconds : null };
  }
  const { status, statusText, body } = exchanged;
  if (status < 200 || status > 399) {
    const reason = `answered ${status} ${statusText}`.trimEnd();
    if (!TURNED_AWAY.includes(status)) return refusal(reason);
    return { kind: 'failure', reason, atLeastMs: Math.max(milliseconds, probe.timeoutMs) };
  }
  if (probe.contains !== null && !body.includes(probe.contains)) return refusal('the page lacks the text asked for');
  return { kind: 'answer', milliseconds };
}

function refusal(reason: string): ProbeResult {
  return { kind: 'failure', reason, atLeastMs: null };
}

function probeTcp(url: URL, probe: AgentProbe, clock: Clock, signal: AbortSignal): Promise<ProbeResult> {
  const startMs = clock.nowMs();
  return new Promise((resolve) => {
    // Brackets belong to the URL's way of writing an IPv6 address.
    const socket = connect(Number(url.port), url.hostname.replace(/^\[(.*)\]$/, '$1'));
    const settle = (result: ProbeResult): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(result);
    };
    const onAbort = (): void => settle(refusal('given up'));
    const timer = setTimeout(() => {
      const reason = `no connection within ${probe.timeoutMs} ms`;
      settle({ kind: 'failure', reason, atLeastMs: clock.nowMs() - startMs });
    }, probe.timeoutMs);
    socket.on('connect', () => settle({ kind: 'answer', milliseconds: clock.nowMs() - startMs }));
    socket.on('error', (error) => settle(refusal(reasonOf(error))));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
