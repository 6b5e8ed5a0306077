// A replica is given the identity of the host that will boot it. The plan is kept in a file before the first byte is
// changed, so that a crash part-way is gone on with by the same plan: a plan made of a half-changed image would miss
// what has already gone, and would have other keys than those that are already there.
// docs/decisions/0042-plans-on-disk.md
import { UnderstudyError } from '../base/mod.ts';
import { acceptance, type IdentityRequest, openFindings, type Plan } from '../identity/mod.ts';
import { type NodeContext, stateError, stopIfAborted, withVolume } from './context.ts';
import type { PersonaliseRequest, VolumeContent } from './contract.ts';
import type { VolumeRecord } from './records.ts';

type Replica = Extract<VolumeContent, { kind: 'replica' }>;

interface KeptPlan {
  readonly request: IdentityRequest;
  readonly host: string;
  readonly replica: Replica;
  readonly plan: Plan;
}

/** @throws VOLUME_STATE, IDENTITY_UNKNOWN, IDENTITY_UNVERIFIED, and the identity engine's errors */
export function personalise(context: NodeContext, request: PersonaliseRequest, signal: AbortSignal): Promise<Plan> {
  const { volume, engagement, host } = request;
  const { records } = context;
  return withVolume(context, volume, `personalising for ${engagement}`, async (record) => {
    const kept = await planOf(context, request, record, signal);
    const { replica, plan } = kept;
    if (replica.identityOf === host) return plan;
    refuseUnknown(volume, plan, request.accept);
    stopIfAborted(signal);
    if (record.content.kind === 'replica') {
      await context.backend.keepSecret(volume, JSON.stringify(kept));
      await records.change(volume, ({ generation }) => ({
        generation: generation + 1,
        content: { kind: 'unfinished', engagement, step: 'personalise' },
      }));
    }
    await change(context, kept, volume, signal);
    await records.change(volume, () => ({ content: { ...replica, identityOf: host } }));
    return plan;
  });
}

async function planOf(
  { backend, identity }: NodeContext,
  { volume, engagement, lead, understudy, host }: PersonaliseRequest,
  { content }: VolumeRecord,
  signal: AbortSignal,
): Promise<KeptPlan> {
  const isPortion = content.kind === 'replica' && content.portion === true;
  const request: IdentityRequest = { lead, understudy, ...(isPortion ? { keepsOwn: true } : { isLeadsCopy: true }) };
  if (content.kind === 'own' || content.engagement !== engagement) {
    throw stateError(volume, content, `it is no replica of ${engagement}`);
  }
  if (content.kind === 'unfinished' && content.step !== 'personalise') {
    throw stateError(volume, content, 'it has to be replicated first');
  }
  if (content.kind === 'replica' && content.identityOf === null) {
    return { request, host, replica: content, plan: await identity.plan(backend.pathOf(volume), request, signal) };
  }
  const text = await backend.secretOf(volume);
  const kept = text === null ? null : (JSON.parse(text) as KeptPlan);
  const hosts = (one: IdentityRequest): string => JSON.stringify([one.lead, one.understudy]);
  const same = kept?.host === host && hosts(kept.request) === hosts(request);
  if (kept === null || !same) {
    throw stateError(volume, content, `another identity than ${host}'s was given to it; it has to be replicated again`);
  }
  return { ...kept, replica: content.kind === 'replica' ? content : kept.replica };
}

function refuseUnknown(volume: string, plan: Plan, accept: readonly string[]): void {
  const open = openFindings(plan.unknown, accept);
  if (open.length === 0) return;
  const list = open.map((one) => `${acceptance(one)} (${one.why})`).join('; ');
  throw new UnderstudyError('IDENTITY_UNKNOWN', `${volume}: nobody said what is to become of ${list}`);
}

async function change(
  { backend, identity }: NodeContext,
  { request, plan }: KeptPlan,
  volume: string,
  signal: AbortSignal,
): Promise<void> {
  const image = backend.pathOf(volume);
  await identity.apply(image, plan, signal);
  await backend.flush(volume);
  const { verified, problems } = await identity.verify(image, request, plan, signal);
  if (!verified) throw new UnderstudyError('IDENTITY_UNVERIFIED', `${volume}: ${problems.join('; ')}`);
}
