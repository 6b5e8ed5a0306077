// What an image that was personalised says of that: whose copy it is, who it has become, and by which plan. So that
// doing it twice changes nothing more, another understudy starts from who the image is now, and a lead whose copy it is
// not is refused. docs/decisions/0095-a-personalised-image-says-so.md
//
// Of the lead it has digests only, and all of it is one word (base64url): a search for what still names the lead, whose
// name may be "agent" or that of the understudy's domain, is to find nothing here.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { UnderstudyError } from '../base/mod.ts';
import { acceptance } from './accept.ts';
import type { Finding, HostIdentity, IdentityRequest } from './contract.ts';
import { allAddresses } from './correspondence.ts';
import { boundedJson, hostNameIn, machineIdIn } from './rules/mod.ts';
import { type FileTree, join, readText } from './tree/mod.ts';

export const STAMP_RULE = 'stamp';
const FOLDER = '/etc/understudy';
const NAME = 'clone';
const VERSION = 1;
/** Leads of leads. The oldest ones go. */
const LEADS_MAX = 16;
const LIST_MAX = 10_000;

const text = z.string().max(1000);
const texts = z.array(text).max(LIST_MAX);
const schema = z.object({
  version: z.literal(VERSION),
  /** Whose copy it is, the first lead first: digests of its name and of its addresses. */
  leads: z
    .array(z.object({ name: text, addresses: texts }))
    .min(1)
    .max(LEADS_MAX),
  understudy: z.object({
    hostName: text,
    domain: text.optional(),
    interfaces: z.array(z.object({ name: text, mac: text, addresses: texts, gateway: text.optional() })).max(1000),
  }),
  /** Digest of what its agent shows; null: it has none. */
  agent: text.nullable(),
  /** Digest of its machine-id. */
  machineId: text,
  otherHardware: z.boolean(),
  /** Digests of rule and path of the unknown findings that somebody had to accept. */
  accepted: texts,
  /** Fingerprint of the plan without this file. */
  plan: text,
});

export type Stamp = z.output<typeof schema>;

/** Where a plan begins. */
export interface Start {
  /** Who the image is now, as far as anything was said about that. */
  readonly lead: HostIdentity;
  /** What is asked was done: there is nothing to change. */
  readonly isDone: boolean;
  /** null: it has none, or none that is true any more. */
  readonly stamp: Stamp | null;
}

/** @throws IDENTITY_FAILED when the image is a copy of another lead */
export async function startOf(tree: FileTree, request: IdentityRequest): Promise<Start> {
  const stamp = request.isLeadsCopy === true ? null : await stampIn(tree);
  if (stamp === null) return { lead: request.lead, isDone: false, stamp };
  const { hostName, domain, interfaces } = stamp.understudy;
  const now: HostIdentity = {
    hostName,
    ...(domain === undefined ? {} : { domain }),
    interfaces: interfaces.map(({ gateway, ...one }) => ({ ...one, ...(gateway === undefined ? {} : { gateway }) })),
  };
  const marks = [...stamp.leads, markOf(now)];
  if (!marks.some((mark) => isSame(mark, markOf(request.lead)))) {
    const advice = `take a copy of the disk of ${request.lead.hostName}, or leave out who the lead is`;
    throw new UnderstudyError(
      'IDENTITY_FAILED',
      `the image is a copy of another host than ${request.lead.hostName}, and was made ${hostName}; ${advice}`,
    );
  }
  const isHere = JSON.stringify(hostOf(now)) === JSON.stringify(hostOf(request.understudy));
  const isDone =
    isHere && stamp.agent === agentOf(request.understudy) && (stamp.otherHardware || request.otherHardware !== true);
  // Read from the image, the lead is who the image is by now, of whom all is to stay.
  const lead = isSame(markOf(now), markOf(request.lead)) ? request.understudy : request.lead;
  return { lead: isDone ? lead : now, isDone, stamp };
}

/** Null when there is none, and when the image has become another host since: then it says nothing that still holds. */
async function stampIn(tree: FileTree): Promise<Stamp | null> {
  const file = await readText(tree, join(FOLDER, NAME));
  const parsed = file.status === 'text' ? schema.safeParse(boundedJson(decoded(file.text))?.value) : null;
  if (parsed?.success !== true) return null;
  const { understudy, machineId } = parsed.data;
  const name = ((await hostNameIn(tree)) ?? '').split('.')[0];
  const isCurrent = name === understudy.hostName && digest('machine-id', await machineIdIn(tree)) === machineId;
  return isCurrent ? parsed.data : null;
}

/** Where it lies, or would lie. @throws IMAGE_UNSUPPORTED when nothing can lie there */
export async function stampPath(tree: FileTree): Promise<string> {
  const place = await tree.place(join(FOLDER, NAME));
  if (place !== null && (place.entry === null || place.entry.kind === 'file')) return place.path;
  const folder = (await tree.lstat(FOLDER)) === null ? await tree.place(FOLDER) : null;
  if (folder !== null) return join(folder.path, NAME);
  throw new UnderstudyError('IMAGE_UNSUPPORTED', `${FOLDER} of the image is not a folder: remove what is there`);
}

interface Made {
  readonly start: Start;
  readonly request: IdentityRequest;
  readonly machineId: string;
  readonly findings: readonly Finding[];
  readonly fingerprint: string;
}

export function stampText({ start, request, machineId, findings, fingerprint }: Made): string {
  const { understudy, otherHardware = false } = request;
  const own = markOf(start.lead);
  const before = (start.stamp?.leads ?? []).filter((mark) => !isSame(mark, own));
  const { hostName, domain, interfaces } = understudy;
  const stamp: Stamp = {
    version: VERSION,
    leads: [...before, own].slice(-LEADS_MAX),
    understudy: {
      hostName,
      ...(domain === undefined ? {} : { domain }),
      interfaces: interfaces.map((one) => ({ ...one, addresses: [...one.addresses] })),
    },
    agent: agentOf(understudy),
    machineId: digest('machine-id', machineId),
    otherHardware,
    accepted: keysOf(findings).slice(0, LIST_MAX),
    plan: fingerprint,
  };
  return encoded(JSON.stringify(stamp));
}

export function encoded(text: string): string {
  return `${Buffer.from(text).toString('base64url')}\n`;
}

function decoded(text: string): string {
  return Buffer.from(text.trim(), 'base64url').toString('utf8');
}

/** What is found in an image that was done before: it stays, but for what nobody has seen yet. */
export function foundAgain(findings: readonly Finding[], { accepted }: Stamp): readonly Finding[] {
  return findings.map((one) => {
    const isNew = one.action === 'unknown' && keysOf([one]).every((key) => !accepted.includes(key));
    if (isNew || one.action === 'keep') return one;
    const why = one.action === 'unknown' ? 'It was accepted when the image got this identity.' : DONE;
    return { ...one, action: 'keep', why };
  });
}

const DONE = 'It is that of the understudy: the image got this identity before.';

function keysOf(findings: readonly Finding[]): string[] {
  const unknown = findings.filter(({ action }) => action === 'unknown');
  return [...new Set(unknown.map((one) => digest('finding', acceptance(one))))].sort();
}

type Mark = Stamp['leads'][number];

function markOf(host: HostIdentity): Mark {
  const ips = [...new Set(allAddresses(host).map(({ ip }) => ip))];
  return {
    name: digest('host', host.hostName.toLowerCase()),
    addresses: ips.map((ip) => digest('address', ip)).sort(),
  };
}

/** People may know of fewer addresses than the image, or of none. */
function isSame(one: Mark, other: Mark): boolean {
  const isApart = one.addresses.length > 0 && other.addresses.length > 0;
  return one.name === other.name && (!isApart || one.addresses.some((address) => other.addresses.includes(address)));
}

function hostOf({ hostName, domain = '', interfaces }: HostIdentity): unknown {
  return [
    hostName,
    domain,
    interfaces.map(({ name, mac, addresses, gateway = '' }) => [name, mac.toLowerCase(), addresses, gateway]),
  ];
}

function agentOf({ agent }: HostIdentity): string | null {
  if (agent === undefined) return null;
  const { host, controller, token = '', certificate } = agent;
  return digest('agent', JSON.stringify([host, controller, token, certificate?.cert ?? '', certificate?.key ?? '']));
}

/** @param kind so that one value is not known by another's digest */
function digest(kind: string, value: string): string {
  return createHash('sha256').update(`understudy ${kind}\n${value}`).digest('hex');
}
