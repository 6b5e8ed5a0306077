// What agent and controller say to each other. The agent asks, the controller answers; there is no other channel.
//
//   POST {controller}/v1/agents/{host}/reports
//   Authorization: Bearer TOKEN          the token of this host, with the role "agent"; RFC 6750
//   Content-Type: application/json       a Report, at most REPORT_BYTES_MAX bytes
//
//   200  an Instruction, at most INSTRUCTION_BYTES_MAX bytes
//   400  the report is not what this page says     401  the token is missing or unknown
//   403  the token belongs to another host         404  no such host     413  too long
//
// The agent sends one report at a time and waits up to 10 s for its answer. It sends one every `reportSeconds`, and at once when
// its verdict has changed. Without a 200 it tries again later, with a new report: exponentially and with jitter up to 15 s, after
// 401, 403 and 404 only up to a minute. Changes that were answered with 400, 413 or 422 are not repeated; they count as dropped.
// A report whose answer was lost has perhaps been received, so:
//
//   - `sequence` rises with every report of a `boot`. One that is not above the last of that boot is old: the receiver answers
//     200 and changes nothing.
//   - Each change has a `number`. Changes up to the highest that was received of that boot have been seen already. The agent
//     repeats a change until a report with it was answered with 200, in order, so numbers are missing only where
//     `dropped` has risen.
//   - Another `boot` of the same host is the agent started anew: its numbers begin again at 1. Receivers that want to tell a
//     restart from a late report of the old boot compare what they received last: one agent never goes back to an old boot.
//
// Times are told twice: as the host's own clock has them, for people, and as an age at the moment of sending, by a clock that
// never steps. A receiver that orders events counts the age back from when it received the report.

import type { Condition, SignalPolicy } from '../detection/mod.ts';

/** 'failing': far beyond degraded. */
export type AgentVerdict = Condition;

/** One fact on which a verdict rests: the controller's EvidenceView, without the host. */
export interface AgentEvidence {
  /** One line for people, at most 500 characters: "probe.milliseconds above 400 in 9 of 10 samples of the last 10 s". */
  readonly text: string;
  /** The same in numbers; at most 32 of them, numbers finite, texts at most 200 characters. */
  readonly values: Readonly<Record<string, number | string | null>>;
}

/** Milliseconds, percent, bytes a second, events a second, plain numbers. */
export type SignalUnit = 'ms' | '%' | 'B/s' | '/s' | '1';

/** The last value of a signal. */
export interface SignalReading {
  /** Finite; null: it could not be measured, and `error` says why. */
  readonly value: number | null;
  readonly unit: SignalUnit;
  /** One line, at most 200 characters; only where value is null. */
  readonly error?: string;
}

/** A signal since the last report that was delivered. */
export interface SignalSummary extends SignalReading {
  /** Of the values since then, highest and mean; absent when there was none. */
  readonly max?: number;
  readonly mean?: number;
  /** Values since then. */
  readonly samples: number;
}

export interface VerdictChange {
  /** 1 and up, without gaps within a boot. */
  readonly number: number;
  /** ISO 8601, by the host's clock. */
  readonly at: string;
  /** Milliseconds before the sending of the report, 0 and up. */
  readonly ageMs: number;
  /** The verdict that began then. */
  readonly verdict: AgentVerdict;
  /** At most EVIDENCE_MAX. */
  readonly evidence: readonly AgentEvidence[];
}

export interface Report {
  /** 32 hexadecimal digits, random for each start of an agent. */
  readonly boot: string;
  /** 1 and up, rising within a boot. */
  readonly sequence: number;
  /** ISO 8601, by the host's clock. */
  readonly sentAt: string;
  /** The same as in the path. */
  readonly host: string;
  /** Now. "unknown" also while the agent has nothing to judge, and as the last word of an agent that is being stopped. */
  readonly verdict: AgentVerdict;
  /** ISO 8601: `sentAt` less `ageMs`, so it moves when the host's clock is set. */
  readonly since: string;
  /** How long it has lasted, milliseconds. */
  readonly ageMs: number;
  /** What decided it; at most EVIDENCE_MAX. */
  readonly evidence: readonly AgentEvidence[];
  /** 1 and more breaks what is asked; 0 for unknown. */
  readonly score: number;
  /** Another host would help; only with "degraded" and "failing". Not so for a spike, and what is recovering. */
  readonly lacksCapacity: boolean;
  /** What says that the host is not to blame; null: nothing does. */
  readonly outside: AgentEvidence | null;
  /** By name, at most SIGNALS_MAX: "probe.milliseconds", "cpu.pressure", ... (docs/agent.md has them all). */
  readonly signals: { readonly [name: string]: SignalSummary };
  /** The oldest first, at most CHANGES_MAX. */
  readonly changes: readonly VerdictChange[];
  /** Changes of this boot that were dropped because too many were waiting; never falls within a boot. */
  readonly dropped: number;
}

/**
 * What is asked of a signal, as detection takes it. There is one sample a second, so windows are from 1 s, and below 4 s too far apart for a
 * verdict, to 86400 s; a baseline learns from 50 to 1000000 samples.
 */
export type AgentSignal = SignalPolicy;

/** How the agent uses the service as its users do, once a second. */
export interface AgentProbe {
  /** "http:" or "https:" with a path; "tcp://ADDRESS:PORT" for a connection alone. Without user name and fragment. */
  readonly url: string;
  /** The body must contain it; null: any 2xx or 3xx will do. Not for "tcp:". At most 1000 characters. */
  readonly contains: string | null;
  /** 100 to 60000. */
  readonly timeoutMs: number;
}

/** What the controller wants; it holds until the next answer. Fields that are not known here are not looked at. */
export interface Instruction {
  /** At most JUDGED_MAX, of which any can break what is asked. Empty: nothing of this host is to be judged now. */
  readonly signals: readonly AgentSignal[];
  readonly probe: AgentProbe | null;
  /** 1 to 60: seconds between reports while nothing changes. */
  readonly reportSeconds: number;
}

/** When more changes wait than fit, the agent sends the oldest of them, and the others right after. */
export const REPORT_BYTES_MAX = 256 * 1024;
export const INSTRUCTION_BYTES_MAX = 64 * 1024;
export const EVIDENCE_MAX = 8;
export const SIGNALS_MAX = 64;
export const JUDGED_MAX = 16;
export const CHANGES_MAX = 64;
/** Names of signals. */
export const SIGNAL_NAME = /^[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*$/;
