// A controller for tests of the interface: its state is in memory and whatever the test makes it, its events are kept
// and sent to whoever reads them, and it fails as told. The interface is what such tests are about.

import type { Instruction, Report } from '../../src/agent/mod.ts';
import type { ReloadView } from '../../src/api/mod.ts';
import { type ErrorCode, UnderstudyError } from '../../src/base/mod.ts';
import type {
  AuditEntry,
  AuditView,
  ComponentView,
  ControllerApi,
  DecisionView,
  DismissalView,
  EngagementView,
  EventView,
  HoldView,
  HostView,
  InspectionView,
  ServiceView,
  StatusView,
  UnusableRecordView,
} from '../../src/controller/mod.ts';

export const NOW = '2026-11-24T10:00:00.000Z';

type NewEvent = EventView extends infer E ? (E extends EventView ? Omit<E, 'revision' | 'at'> : never) : never;

export const decision: DecisionView = {
  at: NOW,
  service: 'wiki',
  action: 'scale-out',
  outcome: 'started',
  verdict: 'degraded',
  reason: 'web1 is too slow, and spare1 is free',
  evidence: [
    {
      host: 'web1',
      text: 'probe.milliseconds above 400 in 9 of 10 samples of the last 10 s',
      values: { signal: 'probe.milliseconds', breaching: 9, samples: 10, worst: null },
    },
  ],
  engagement: 'wiki-1',
  repeated: 0,
  lastAt: NOW,
};

export const engagement: EngagementView = {
  name: 'wiki-1',
  service: 'wiki',
  lead: 'web1',
  understudy: 'spare1',
  origin: 'policy',
  phase: 'replicate',
  since: NOW,
  state: 'running',
  error: null,
  left: [],
  stages: [
    { phase: 'choose', seconds: 0.1 },
    { phase: 'fence', seconds: 2.5 },
    { phase: 'preserve', seconds: 12 },
  ],
  timeToCapacitySeconds: null,
  acknowledgedAt: null,
  progress: { bytesDone: 1024, bytesTotal: 4096 },
  waitsFor: null,
};

const wiki: ServiceView = {
  name: 'wiki',
  mode: 'automatic',
  lead: 'web1',
  verdict: 'degraded',
  evidence: decision.evidence,
  hosts: ['web1', 'spare1'],
  hostsMax: 3,
  engagements: ['wiki-1'],
  pendingPlan: null,
  holds: [],
  lastDecision: decision,
};

export const hold: HoldView = {
  kind: 'pause',
  name: 'wiki',
  by: 'alice',
  since: NOW,
  until: null,
  text: 'wiki is paused by alice',
};

const director: ComponentView = {
  kind: 'director',
  name: 'wiki',
  driver: 'haproxy',
  state: 'ok',
  detail: 'web1 takes requests',
  since: NOW,
};

function host(name: string, role: HostView['role']): HostView {
  return {
    name,
    power: role === 'lead' ? 'on' : 'off',
    role,
    service: role === 'spare' ? null : 'wiki',
    engagement: role === 'understudy' ? 'wiki-1' : null,
    keptOut: null,
    holds: [],
    agent: role === 'lead' ? { lastSeenAt: NOW, verdict: 'degraded' } : null,
    volume: {
      name,
      content: role === 'understudy' ? 'unfinished' : 'own',
      attached: role === 'lead',
      uri: role === 'lead' ? `nbds://10.20.0.1:10810/${name}` : null,
      problem: null,
    },
  };
}

export const inspection: InspectionView = {
  os: { id: 'debian', version: '12', arch: 'x86_64' },
  findings: [
    {
      rule: 'cron',
      path: '/etc/cron.d/invoices',
      value: 'line 3: /usr/bin/php',
      why: 'The job runs on the lead.',
      action: 'disable',
      confidence: 'certain',
    },
  ],
  starts: [
    {
      way: 'systemd',
      name: 'ssh.service',
      path: '/usr/lib/systemd/system/ssh.service',
      line: null,
      programs: [],
      knownBy: null,
    },
  ],
  coverage: {
    ...{ files: 10_427, filesRead: 8442, bytesRead: 50_642_356, filesExplained: 34, isComplete: true },
    notSearched: [{ path: '/var/log', why: 'logs', files: 12, isIntended: true }],
  },
};

export class ControllerPeer implements ControllerApi {
  services: readonly ServiceView[] = [wiki];
  hosts: readonly HostView[] = [host('web1', 'lead'), host('spare1', 'understudy'), host('spare2', 'spare')];
  engagements: readonly EngagementView[] = [engagement];
  components: readonly ComponentView[] = [director];
  decisions: readonly DecisionView[] = [decision];
  unusable: readonly UnusableRecordView[] = [];
  /** Thrown by every method from now on. */
  trouble: Error | null = null;
  /** What was asked, in order: "clone web1 spare2". */
  readonly asked: string[] = [];
  /** That came with the orders to switch. */
  readonly signals: AbortSignal[] = [];
  readonly reports: (readonly [string, Report])[] = [];
  readonly kept: EventView[] = [];
  instruction: Instruction = { signals: [], probe: null, reportSeconds: 5 };
  /** Readers of events at present. */
  readers = 0;
  /** What a method waits for before it answers. */
  gate: Promise<unknown> = Promise.resolve();
  readonly #bells = new Set<() => void>();

  fail(code: ErrorCode, message = `told to: ${code}`): void {
    this.trouble = new UnderstudyError(code, message);
  }

  emit(event: NewEvent): EventView {
    const whole = { ...event, revision: this.kept.length + 1, at: NOW } as EventView;
    this.kept.push(whole);
    this.#ring();
    return whole;
  }

  /** Readers of events look again. */
  #ring(): void {
    for (const bell of this.#bells) bell();
  }

  async status(): Promise<StatusView> {
    await this.#ask('status');
    return {
      revision: this.kept.length,
      controller: { name: 'ctl', epoch: 7, since: NOW },
      services: this.services,
      hosts: this.hosts,
      unusableRecords: this.unusable.map(({ key, reason }) => ({ key, reason })),
      unusableRecordsTotal: this.unusable.length,
      engagements: this.engagements,
      engagementsTotal: this.engagements.length,
      components: this.components,
    };
  }

  async pause(request: { readonly service: string; readonly forMs: number | null }): Promise<{ hold: HoldView }> {
    await this.#ask(`pause ${JSON.stringify(request)}`);
    return { hold };
  }

  async resume(service: string): Promise<{ lifted: readonly HoldView[] }> {
    await this.#ask(`resume ${service}`);
    return { lifted: [hold] };
  }

  async maintenance(request: { readonly host: string; readonly state: 'on' | 'off' }) {
    await this.#ask(`maintenance ${request.host} ${request.state}`);
    return { hold: request.state === 'on' ? { ...hold, kind: 'maintenance' as const } : null, engagement: 'wiki-1' };
  }

  async acknowledge(name: string): Promise<{ engagement: string }> {
    await this.#ask(`acknowledge ${name}`);
    return { engagement: name };
  }

  async history(limit: number): Promise<readonly EngagementView[]> {
    await this.#ask(`history ${limit}`);
    return this.engagements.slice(-limit).reverse();
  }

  async clone({ lead, to }: { readonly lead: string; readonly to: string }): Promise<{ engagement: string }> {
    await this.#ask(`clone ${lead} ${to}`);
    return { engagement: 'wiki-2' };
  }

  async dismiss(request: { readonly host: string } | { readonly engagement: string }): Promise<{ engagement: string }> {
    await this.#ask(`dismiss ${JSON.stringify(request)}`);
    return { engagement: 'wiki-1' };
  }

  async dismissal(request: { readonly host: string } | { readonly engagement: string }): Promise<DismissalView> {
    await this.#ask(`dismissal ${JSON.stringify(request)}`);
    const leaves = ['off: if it fails, nothing after it is done'];
    return { engagement: 'wiki-1', understudy: 'spare1', reason: null, does: ['off: switches spare1 off'], leaves };
  }

  async records(): Promise<readonly UnusableRecordView[]> {
    await this.#ask('records');
    return this.unusable;
  }

  async removeRecord({ key, revision }: { readonly key: string; readonly revision: number }): Promise<void> {
    await this.#ask(`remove ${key} ${revision}`);
  }

  async reload(dryRun: boolean): Promise<ReloadView> {
    await this.#ask(`reload ${dryRun}`);
    return { file: '/etc/understudy/understudy.yaml', applied: !dryRun, changes: [] };
  }

  async approve(plan: string): Promise<{ engagement: string }> {
    await this.#ask(`approve ${plan}`);
    return { engagement: 'wiki-3' };
  }

  async power(name: string, state: 'on' | 'off', signal: AbortSignal): Promise<{ power: 'on' | 'off' }> {
    this.signals.push(signal);
    await this.#ask(`power ${name} ${state}`);
    return { power: state };
  }

  async inspect(name: string, signal: AbortSignal): Promise<InspectionView> {
    this.signals.push(signal);
    await this.#ask(`inspect ${name}`);
    return inspection;
  }

  async explain(service: string, limit: number): Promise<readonly DecisionView[]> {
    await this.#ask(`explain ${service} ${limit}`);
    return this.decisions.slice(0, limit);
  }

  async engagement(name: string): Promise<EngagementView> {
    await this.#ask(`engagement ${name}`);
    const found = this.engagements.find((one) => one.name === name);
    if (found === undefined) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `there is no engagement "${name}"`);
    return found;
  }

  async *events(after: number | null, signal: AbortSignal): AsyncGenerator<EventView> {
    let next = after ?? this.kept.length;
    this.readers += 1;
    try {
      while (!signal.aborted) {
        if (this.trouble !== null) throw this.trouble;
        const event = this.kept[next];
        if (event !== undefined) {
          next += 1;
          yield event;
          continue;
        }
        await this.#rung(signal);
      }
    } finally {
      this.readers -= 1;
    }
  }

  async #rung(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#bells.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#bells.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  async record(entry: AuditEntry): Promise<void> {
    if (this.trouble !== null) throw this.trouble;
    this.emit({ kind: 'audit', subject: entry.action, text: entry.text, data: entry });
  }

  async audit(sinceMs: number): Promise<readonly AuditView[]> {
    if (this.trouble !== null) throw this.trouble;
    return this.audited.filter(({ at }) => Date.parse(at) >= sinceMs);
  }

  /** What was kept of who asked for what. */
  get audited(): readonly AuditView[] {
    return this.kept.flatMap((event) => (event.kind === 'audit' ? [{ at: event.at, ...event.data }] : []));
  }

  async report(name: string, report: Report): Promise<Instruction> {
    await this.#ask(`report ${name}`);
    this.reports.push([name, report]);
    return this.instruction;
  }

  async #ask(what: string): Promise<void> {
    this.asked.push(what);
    await this.gate;
    if (this.trouble !== null) throw this.trouble;
  }
}
