// Policy as a pure function: what is known of a service goes in, what is to be done comes out, with the reason. Numbers
// that change with every look are in the evidence, not in the reason, so that the same decision is recognized as the
// same.
import type {
  Decision,
  PolicyEngagement,
  PolicyEvidence,
  PolicyVerdict,
  RateSample,
  ServiceFacts,
  ServingHost,
  Verdict,
} from './contract.ts';

/** Rates are sampled every few seconds; a longer silence is a gap, and a window with a gap proves nothing. */
export const RATE_GAP_MS_MAX = 15_000;

/** Phases in which a host is on its way to its users. */
const COMING: readonly string[] = ['choose', 'fence', 'preserve', 'replicate', 'personalise', 'boot', 'prove', 'admit'];

/** The first that some part has is that of the whole. */
export const worstFirst: readonly PolicyVerdict[] = ['failing', 'degraded', 'unknown', 'healthy'];

/** Failing or degraded when any host that serves is; healthy only when all are, and known to be. */
export function verdictOf(serving: readonly ServingHost[]): Verdict {
  const of = (verdict: PolicyVerdict): readonly ServingHost[] => serving.filter((host) => host.verdict === verdict);
  const deciding = worstFirst.map(of).find((hosts) => hosts.length > 0) ?? serving;
  return {
    verdict: deciding[0]?.verdict ?? 'unknown',
    evidence: deciding.flatMap((host) =>
      host.evidence.length > 0
        ? host.evidence
        : [{ host: host.name, text: `nothing is known of ${host.name}`, values: {} }],
    ),
  };
}

/** Seed rows P1, P13, P14. */
export function decide(facts: ServiceFacts): Decision {
  const { verdict, evidence } = verdictOf(facts.serving);
  const none = (reason: string): Decision => ({
    verdict,
    evidence,
    action: 'none',
    outcome: 'none',
    reason,
    subject: null,
  });
  const waits = onTheirWay(facts, verdict);
  if (waits !== null) return none(waits);
  switch (verdict) {
    case 'unknown':
      return none('it is not known how the service does, so nothing is changed');
    case 'degraded':
    case 'failing':
      return scaleOut(facts, { verdict, evidence }, none);
    case 'healthy':
      return scaleIn(facts, { verdict, evidence }, none);
  }
}

/**
 * Why what is on its way has to arrive first; null: nothing has. Where more requests come than all hosts carry, those
 * on their way included, another is asked for beside them, as far as the policy allows: how much is missing is plain,
 * and each of them takes its time.
 */
function onTheirWay(facts: ServiceFacts, verdict: PolicyVerdict): string | null {
  const coming = facts.engagements.filter(({ phase, goal }) => goal === 'serve' && COMING.includes(phase));
  if (coming.length === 0) return null;
  const { atOnce } = facts.service.scaleOut;
  if (isBroken(verdict) && coming.length < atOnce && isMissing(facts, facts.serving.length + coming.length))
    return null;
  const names = coming.map(({ understudy }) => understudy).join(' and ');
  return coming.length === 1 ? `${names} is on its way` : `${names} are on their way`;
}

/**
 * More requests come than so many hosts carry, by what each of those that serve carries now, when it is too much for
 * them.
 */
function isMissing(facts: ServiceFacts, hosts: number): boolean {
  const [carried, arriving] = [carriedRate(facts), meanOf(facts, ({ arriving: rate }) => rate)];
  if (carried === null || arriving === null || carried === 0 || facts.serving.length === 0) return false;
  return arriving > (carried / facts.serving.length) * hosts;
}

function scaleOut(facts: ServiceFacts, verdict: Verdict, none: (reason: string) => Decision): Decision {
  const { service, engagements, freeSpares, nowMs, lastChangeMs } = facts;
  const wanted = { ...verdict, action: 'scale-out' } as const;
  // What the slow window still holds from before the last change says nothing about the hosts that serve now.
  const settleMs = service.windows.slowSeconds * 1000;
  if (lastChangeMs !== null && nowMs - lastChangeMs < settleMs) {
    return none('the last change has not had time to show in the slow window');
  }
  const broken = facts.serving.filter((host) => isBroken(host.verdict));
  const lacking = broken.filter(({ lacksCapacity }) => lacksCapacity);
  if (lacking.length === 0 && !facts.outside) {
    return none('what is wrong calls for no host: it recovers already, or is no lack of capacity');
  }
  const cooldownMs = service.scaleOut.cooldownSeconds * 1000;
  if (lastChangeMs !== null && nowMs - lastChangeMs < cooldownMs) {
    return none('the last change is too recent to add anything');
  }
  if (facts.outside !== undefined && facts.outside !== null) {
    const reason = `the objective is broken, but what holds it up lies outside of the host: ${facts.outside.text}`;
    return { ...wanted, evidence: [...verdict.evidence, facts.outside], outcome: 'refused', reason, subject: null };
  }
  const hosts = 1 + engagements.length + (facts.others ?? 0);
  if (hosts >= service.hostsMax) {
    const reason = `the objective is broken, but ${service.name} already has ${hosts} hosts, in any state, and may have ${service.hostsMax}`;
    return { ...wanted, outcome: 'refused', reason, subject: null };
  }
  const [spare] = freeSpares;
  if (spare === undefined) {
    return {
      ...wanted,
      outcome: 'refused',
      reason: 'the objective is broken, but no spare of the pool is free',
      subject: null,
    };
  }
  // What a host can carry is measured at the moment when it is too much; without that, nothing could ever be taken away
  // again.
  const carried = carriedRate(facts);
  if (carried === null) return none('the load is not measured yet');
  if (carried === 0) return none('no requests come through the director, so another host would not help');
  const reason = `the objective is broken, and not recovering, on ${lacking.map(({ name }) => name).join(' and ')}; ${spare} is free`;
  return { ...wanted, outcome: 'wanted', reason, subject: spare };
}

function isBroken(verdict: PolicyVerdict): boolean {
  return verdict === 'degraded' || verdict === 'failing';
}

/**
 * Requests a second that the hosts carried lately: the mean over the fast window, which a broken objective fills with
 * the rate that is too much; null: not known.
 */
export function carriedRate(facts: ServiceFacts): number | null {
  return meanOf(facts, ({ rate }) => rate);
}

function meanOf({ rates, nowMs, service }: ServiceFacts, of: (sample: RateSample) => number | null): number | null {
  const fromMs = nowMs - service.windows.fastSeconds * 1000;
  const recent = rates.flatMap((sample) => {
    const value = of(sample);
    return value === null || sample.atMs < fromMs ? [] : [value];
  });
  return recent.length === 0 ? null : recent.reduce((sum, value) => sum + value, 0) / recent.length;
}

function scaleIn(facts: ServiceFacts, verdict: Verdict, none: (reason: string) => Decision): Decision {
  const { service, nowMs, serving, lastChangeMs } = facts;
  const onStage = facts.engagements.filter(({ phase, goal }) => goal === 'serve' && phase === 'serving');
  if (onStage.length === 0) return none('the objective is met by the lead alone');
  const newest = onStage
    .filter(({ origin }) => origin === 'automatic')
    .toSorted((a, b) => (b.admittedAt ?? 0) - (a.admittedAt ?? 0))[0];
  if (newest === undefined) return none('all understudies were asked for by hand, and are dismissed by hand');
  const windowMs = service.scaleIn.windowSeconds * 1000;
  if (lastChangeMs !== null && nowMs - lastChangeMs < service.scaleIn.cooldownSeconds * 1000) {
    return none('the last change is too recent to take anything away');
  }
  const young = serving.find(({ verdictSinceMs }) => verdictSinceMs === null || nowMs - verdictSinceMs < windowMs);
  if (young !== undefined) {
    const reason = `${young.name} has not been healthy for the whole window yet`;
    return { ...none(reason), evidence: [...verdict.evidence, healthyFor(young, nowMs, windowMs)] };
  }
  const proof = headroom(facts, newest, windowMs);
  if (typeof proof === 'string') return none(proof);
  if (!proof.fits) {
    const reason = 'the load of the window would not leave enough headroom on one host less';
    return { ...none(reason), evidence: [...verdict.evidence, proof.evidence] };
  }
  const evidence = [...verdict.evidence, proof.evidence];
  const reason = `for the whole window the load would have fitted on one host less; ${newest.understudy} is no longer needed`;
  return { verdict: verdict.verdict, evidence, action: 'scale-in', outcome: 'wanted', reason, subject: newest.name };
}

function healthyFor({ name, verdictSinceMs }: ServingHost, nowMs: number, windowMs: number): PolicyEvidence {
  const seconds = verdictSinceMs === null ? null : Math.max(0, Math.round((nowMs - verdictSinceMs) / 1000));
  const since = seconds === null ? 'it is not known for how long' : `for ${seconds} s`;
  const windowSeconds = windowMs / 1000;
  return {
    host: name,
    text: `healthy ${since} of ${windowSeconds} s`,
    values: { healthySeconds: seconds, windowSeconds },
  };
}

/** Whether the rest can carry the load, in numbers; or what is missing to say so. */
function headroom(
  facts: ServiceFacts,
  newest: PolicyEngagement,
  windowMs: number,
): { readonly fits: boolean; readonly evidence: PolicyEvidence } | string {
  const { service, serving, rates, nowMs } = facts;
  const breach = newest.breach;
  if (breach === null || breach.rate === null || breach.rate <= 0) {
    return `what a host can carry was not measured when ${newest.understudy} was engaged; dismiss it by hand`;
  }
  if (!coversWindow(rates, nowMs - windowMs, nowMs, facts.rateGapMs ?? RATE_GAP_MS_MAX))
    return 'the load is not known for the whole window';
  const highest = rates.reduce((most, { rate, arriving }) => Math.max(most, rate ?? 0, arriving ?? 0), 0);
  const perHost = breach.rate / breach.hosts;
  const allowed = service.scaleIn.headroom * perHost * (serving.length - 1);
  const rest = serving.length === 2 ? 'one host is' : `${serving.length - 1} hosts are`;
  const evidence = {
    host: null,
    text: `at most ${highest.toFixed(1)} requests a second, where ${rest} trusted with ${allowed.toFixed(1)}`,
    values: { highestRate: highest, allowedRate: allowed, perHostAtBreach: perHost, hostsAfter: serving.length - 1 },
  };
  return { fits: highest <= allowed, evidence };
}

/** No sample without a rate, none missing: neither at the edges of the window nor inside. */
function coversWindow(rates: readonly RateSample[], fromMs: number, toMs: number, gapMs: number): boolean {
  let last = fromMs;
  for (const { atMs, rate } of rates) {
    if (rate === null || atMs - last > gapMs) return false;
    last = Math.max(last, atMs);
  }
  return rates.length > 0 && toMs - last <= gapMs;
}
