import { describe, expect, it } from 'vitest';
import { memoryStore, type Store } from '../store/mod.ts';
import type { AuditEntry } from './contract.ts';
import { AGENT_EVIDENCE_BYTES_MAX, cutEvidence } from './evidence.ts';
import { type DecisionDraft, Journal } from './journal.ts';
import type { EventDraft } from './log-record.ts';
import type { ControllerParts } from './parts.ts';

const START = Date.parse('2026-11-24T10:00:00Z');

function journalOn(store: Store, nowMs: () => number = () => START): Journal {
  return new Journal({ store, wall: nowMs, log: () => undefined } as unknown as ControllerParts);
}

async function texts(store: Store): Promise<readonly string[]> {
  const records = await store.list<{ readonly text: string }>('event/');
  return records.map(({ value }) => value.text);
}

function verdict(host: string, text: string): EventDraft {
  return { kind: 'verdict', subject: `host/${host}`, text, data: {} };
}

function audit(type: AuditEntry['type'], who: string | null, from: string): EventDraft {
  const text = `${who} ${from}`;
  const entry = { type, who, role: null, by: null, from, action: 'POST /v1/clone', request: {}, code: null, count: 1 };
  return { kind: 'audit', subject: 'audit', text, data: { ...entry, text } };
}

function decisionOf(reason: string, evidence: DecisionDraft['evidence'] = []): DecisionDraft {
  return { service: 'wiki', action: 'none', outcome: 'none', verdict: 'healthy', reason, evidence, engagement: null };
}

describe('what is kept of events and decisions', () => {
  it('journal - the bounds hold at every moment, however many write at the same time', async () => {
    const store = memoryStore();
    const journal = journalOn(store);
    const all = Array.from({ length: 12_000 }, (_, index) => journal.event(verdict(`h${index % 40}`, `${index}`)));
    const decided = Array.from({ length: 2000 }, (_, index) => journal.decide(decisionOf(`reason ${index}`)));
    let most = 0;
    for (let look = 0; look < 200; look += 1) {
      // A few steps of those who write, then a look.
      for (let step = 0; step < 50; step += 1) await Promise.resolve();
      most = Math.max(most, (await store.list('event/')).length, (await store.list('decision/wiki/')).length * 3);
    }
    await Promise.all([...all, ...decided]);
    expect(most).toBeLessThanOrEqual(1500);
    expect((await store.list('event/')).length).toBe(1500);
    expect((await store.list('decision/wiki/')).length).toBe(500);
  });

  it('journal - one host that is told of for ever pushes out nobody else, and has its newest', async () => {
    const store = memoryStore();
    const journal = journalOn(store);
    await journal.event(verdict('web2', 'the other'));
    for (let index = 0; index < 2000; index += 1) await journal.event(verdict('web1', `${index}`));
    const kept = await texts(store);
    expect(kept).toContain('the other');
    expect(kept.filter((text) => text !== 'the other')).toEqual(Array.from({ length: 200 }, (_, i) => `${1800 + i}`));
  });

  it('journal - refusals push out no order, and one who orders all the time no order of another', async () => {
    const store = memoryStore();
    const journal = journalOn(store);
    await journal.event(audit('order', 'alice', '10.0.0.1'));
    for (let index = 0; index < 3000; index += 1) await journal.event(audit('refusal', null, `10.0.${index % 700}.9`));
    for (let index = 0; index < 3000; index += 1) await journal.event(audit('order', `m${index % 5}`, '10.0.0.2'));
    const kept = await journal.audit(0);
    expect(kept.filter(({ who }) => who === 'alice').length).toBe(1);
    expect(kept.filter(({ type }) => type === 'refusal').length).toBe(500);
    expect(kept.filter(({ type }) => type === 'order').length).toBe(1000);
  });

  it('journal - the next life counts what it finds, and brings a store that was filled before back to the bounds', async () => {
    const store = memoryStore();
    for (let index = 0; index < 900; index += 1) {
      const key = `event/${String(START + index).padStart(15, '0')}-${String(index).padStart(6, '0')}`;
      await store.put(key, { ...verdict('web1', `${index}`), at: new Date(START).toISOString() }, 0);
    }
    const journal = journalOn(store, () => START + 10_000);
    expect(await journal.revision()).toBe(900);
    for (let index = 0; index < 60; index += 1) await journal.event(verdict('web1', `new ${index}`));
    const kept = await texts(store);
    expect([kept.length, kept.at(-1), kept[0]]).toEqual([200, 'new 59', '760']);
    expect(await journal.revision()).toBe((await store.list('event/')).at(-1)?.revision);
  });

  it('journal - evidence is cut before it is stored, to one line without control characters', async () => {
    const store = memoryStore();
    const journal = journalOn(store);
    const values = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`${i}`.padEnd(100, 'n'), 'v'.repeat(200)]));
    const facts = Array.from({ length: 24 }, () => ({ host: 'web1', text: `a\nb\x1b[31m${'x'.repeat(480)}`, values }));
    await journal.decide(decisionOf(`why\n${'y'.repeat(5000)}`, facts));
    const [record] = await store.list('decision/wiki/');
    expect(JSON.stringify(record?.value).length).toBeLessThan(10_000);
    const cut = cutEvidence(facts, AGENT_EVIDENCE_BYTES_MAX);
    expect(Buffer.byteLength(JSON.stringify(cut))).toBeLessThan(AGENT_EVIDENCE_BYTES_MAX + 100);
    expect(cut[0]?.text).toMatch(/^a\\x0ab\\x1b\[31mx+…$/);
    const plain = [{ host: 'web1', text: 'slow', values: { worst: 900, note: 'x', none: null } }];
    expect(cutEvidence(plain, AGENT_EVIDENCE_BYTES_MAX)).toEqual(plain);
  });
});
