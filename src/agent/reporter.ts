// Tells the controller: at once when the verdict has changed, otherwise every few seconds; and hears from it what to
// watch. One report at a time, so a slow controller is asked less often, not more. Seed row P16.
import { randomBytes } from 'node:crypto';
import { type Clock, codeOf, messageOf } from '../base/mod.ts';
import { BackOff } from './back-off.ts';
import type { Bell } from './bell.ts';
import { exchange } from './exchange.ts';
import { parseInstruction } from './instruction.ts';
import type { Outbox } from './outbox.ts';
import { INSTRUCTION_BYTES_MAX, type Instruction, type Report } from './protocol.ts';
import type { AgentSettings } from './settings.ts';
import type { AgentTls } from './tls.ts';
import type { Watch } from './watch.ts';

/** Until the controller says how often. */
const REPORT_SECONDS_DEFAULT = 5;
/** A controller that takes longer than this for one report has other troubles, which the report does not lessen. */
const REPORT_TIMEOUT_MS = 10_000;
/** Between tries that changes of the verdict bring about while the controller does not answer. */
const RETRY_MS_MIN = 1000;

export type Delivery =
  | { readonly kind: 'delivered'; readonly instruction: Instruction }
  /** The controller does not accept this host or its token: only people can change that. */
  | { readonly kind: 'refused'; readonly status: 401 | 403 | 404; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

export interface ReporterParts {
  readonly settings: AgentSettings;
  readonly watch: Watch;
  readonly outbox: Outbox;
  readonly bell: Bell;
  readonly clock: Clock;
  /** Milliseconds since 1970 by the host's clock. */
  readonly wallMs: () => number;
  readonly onDelivery: (report: Report, delivery: Delivery) => void;
}

export class Reporter {
  readonly #parts: ReporterParts;
  readonly #boot = randomBytes(16).toString('hex');
  readonly #backOff = new BackOff(Math.random);
  #sequence = 0;
  #reportSeconds = REPORT_SECONDS_DEFAULT;

  constructor(parts: ReporterParts) {
    this.#parts = parts;
  }

  /** Reports until the signal ends it. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const delivery = await this.report(signal);
      if (signal.aborted) return;
      await this.#pauseAfter(delivery, signal);
    }
  }

  /** One report and what came of it. */
  async report(signal: AbortSignal, timeoutMs = REPORT_TIMEOUT_MS): Promise<Delivery> {
    const report = this.#compose();
    const delivery = await this.#send(report, timeoutMs, signal);
    if (delivery.kind === 'delivered') {
      this.#parts.outbox.confirm(report.changes);
      this.#reportSeconds = delivery.instruction.reportSeconds;
      this.#parts.watch.summaries.delivered(report.signals);
      this.#parts.watch.instruct(delivery.instruction.signals, delivery.instruction.probe);
    }
    if (!signal.aborted) this.#parts.onDelivery(report, delivery);
    return delivery;
  }

  #pauseAfter(delivery: Delivery, signal: AbortSignal): Promise<void> {
    const { bell, outbox } = this.#parts;
    if (delivery.kind === 'delivered') {
      this.#backOff.succeeded();
      return bell.wait(0, outbox.isEmpty ? this.#reportSeconds * 1000 : 0, signal);
    }
    const delayMs = delivery.kind === 'refused' ? this.#backOff.refused() : this.#backOff.failed();
    return bell.wait(delivery.kind === 'refused' ? delayMs : Math.min(RETRY_MS_MIN, delayMs), delayMs, signal);
  }

  #compose(): Report {
    const { settings, watch, outbox, clock } = this.#parts;
    const [nowMs, wallMs] = [clock.nowMs(), this.#parts.wallMs()];
    const { sinceMs, ...standing } = watch.standing;
    const ageMs = Math.max(0, Math.round(nowMs - sinceMs));
    this.#sequence += 1;
    return {
      boot: this.#boot,
      sequence: this.#sequence,
      sentAt: new Date(wallMs).toISOString(),
      host: settings.host,
      ...standing,
      since: new Date(wallMs - ageMs).toISOString(),
      ageMs,
      signals: watch.summaries.all(),
      changes: outbox.oldest(nowMs, wallMs),
      dropped: outbox.dropped,
    };
  }

  async #send(report: Report, timeoutMs: number, signal: AbortSignal): Promise<Delivery> {
    const { settings, outbox } = this.#parts;
    const shown = await credentialsOf(settings);
    if ('kind' in shown) return shown;
    const { token, tls } = shown;
    const exchanged = await exchange({
      url: new URL(`${settings.controller}/v1/agents/${encodeURIComponent(settings.host)}/reports`),
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(report),
      timeoutMs,
      answerBytesMax: INSTRUCTION_BYTES_MAX,
      tls,
      signal,
    });
    if (exchanged.kind === 'failure') return { kind: 'failed', reason: exchanged.reason };
    const { status } = exchanged;
    if (status === 200) return understood(exchanged.body);
    // What it does not take today it will not take tomorrow, and the changes after these have to get through.
    if (status === 400 || status === 413 || status === 422) outbox.giveUp(report.changes);
    return refusalOf(status, settings.host, tls.pair === null ? 'token' : 'certificate');
  }
}

interface Credentials {
  readonly token: string | null;
  readonly tls: AgentTls;
}

/** Whoever replaces a file may be halfway. */
async function credentialsOf(settings: AgentSettings): Promise<Credentials | Delivery> {
  try {
    return { token: settings.token(), tls: await settings.tls() };
  } catch (error) {
    if (codeOf(error) === null) throw error;
    return { kind: 'failed', reason: messageOf(error) };
  }
}

function understood(body: string): Delivery {
  const instruction = parseInstruction(body);
  if (typeof instruction !== 'string') return { kind: 'delivered', instruction };
  return { kind: 'failed', reason: `its answer is not an instruction: ${instruction}` };
}

function refusalOf(status: number, host: string, shown: 'token' | 'certificate'): Delivery {
  if (status === 401) return { kind: 'refused', status, reason: `it does not accept the ${shown} (401)` };
  if (status === 403) return { kind: 'refused', status, reason: `the ${shown} is not that of host ${host} (403)` };
  if (status === 404) return { kind: 'refused', status, reason: `it has no host ${host} (404)` };
  if (status >= 300 && status < 400) {
    return { kind: 'failed', reason: `it answered with a redirect (${status}), which is not followed` };
  }
  return { kind: 'failed', reason: `it answered ${status}` };
}
