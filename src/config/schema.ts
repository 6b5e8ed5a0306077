// What understudy.yaml may say. The descriptions are what docs/configuration.md and the JSON Schema show.
import * as z from 'zod';
import {
  address,
  bytes,
  cidr,
  domain,
  durationMs,
  durationSeconds,
  linkName,
  listenAddress,
  mac,
  name,
  originUrl,
  path,
  port,
} from './fields.ts';
import { objectiveSchema, SIGNALS_MAX, signalSchema } from './service-signals.ts';

/** A text or nothing: an entry without a value says the same as no entry. */
function orNull<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? null);
}

const settings = z
  .record(z.string(), z.unknown())
  .prefault({})
  .describe('What the driver wants to know; each driver has settings of its own.');

export const tlsSchema = z.strictObject({
  folder: path().describe(
    'Folder of certificates that `understudy pki` has made (docs/tls.md), mode 0700. Renewed and revoked ones are taken up without a restart.',
  ),
  name: name().describe("This machine's own name there: it serves with the certificate `node-NAME`."),
});

export const apiSchema = z.strictObject({
  host: address()
    .prefault('127.0.0.1')
    .describe('Address to listen on. Beyond loopback `tls` is needed, or `insecure: true`.'),
  port: z
    .int()
    .min(0)
    .max(65535)
    .prefault(7780)
    .describe('0 takes any free port; `api.json` in the state folder tells it.'),
  advertise: orNull(originUrl()).describe(
    'Where agents reach it: what clones are told. Without it: https://HOST:PORT, or http://HOST:PORT without `tls`.',
  ),
  insecure: z
    .boolean()
    .prefault(false)
    .describe(
      'Without `tls`, listen also beyond loopback: anyone who can read the network has every token. `doctor`, `status` and the log show it.',
    ),
  tokensFile: path().describe(
    'File of tokens, mode 0600; `understudy token new` makes it and its lines: `ROLE NAME sha256:DIGEST [expires=TIME] [services=A,B]`. Read again when it changes.',
  ),
});

export const storageSchema = z.strictObject({
  folder: orNull(path()).describe(
    'Where backups, changed blocks and the stamps of volumes go: never in the state folder, which may be lost, and for one ' +
      'installation only. Without it: the name of the state folder with `-storage`.',
  ),
  listen: listenAddress()
    .prefault('unix')
    .describe(
      'How hosts reach their volumes: `unix` (a socket in the state folder), or ADDRESS:FIRST-LAST, a port for each host, with TLS. ' +
        'ADDRESS:PORT, one port for all in plain text, is for loopback.',
    ),
  insecure: z
    .boolean()
    .prefault(false)
    .describe(
      'Serve volumes in plain text also beyond loopback: anyone who reaches the network reads and writes every disk. `doctor`, `status` ' +
        'and the log show it.',
    ),
  backgroundRate: orNull(bytes('64K', '1024G')).describe(
    'Bytes a second that backups, copies and restores together may take from each source. Without it: no limit.',
  ),
  overlayMax: bytes('1M', '1024T')
    .prefault('4G')
    .describe('Room for blocks that the lead changes while it is copied. Beyond it the copy fails, never the lead.'),
});

export const imagesSchema = z.strictObject({
  rules: orNull(path()).describe(
    'File of rules of your own for what must not exist twice, and of what is to stay; rules.schema.json.',
  ),
  kernelMount: z
    .boolean()
    .prefault(false)
    .describe(
      'The kernel of the storage node may mount private overlays of images: for XFS and btrfs, and for rules that run a program of the ' +
        'image. Understudy has to run as root for it.',
    ),
});

export const volumeSchema = z.strictObject({
  path: path().describe('A raw file or a block device on the storage node.'),
});

export const interfaceSchema = z.strictObject({
  name: linkName().describe("The host's own name for it."),
  mac: mac().describe('Its hardware address.'),
  addresses: z
    .array(cidr())
    .max(16)
    .prefault([])
    .describe('Addresses, each with the length of its network. None: a card that a bond or a bridge uses.'),
  gateway: orNull(address()).describe('Default route. At most one interface of a host has one.'),
});

export const hostSchema = z.strictObject({
  volume: z.string().describe('Its boot volume, by name.'),
  hostName: name().optional().describe("The host's own name for itself. Without it: its name here."),
  domain: orNull(domain()).describe('Domain of its host name.'),
  interfaces: z
    .array(interfaceSchema)
    .min(1)
    .max(16)
    .describe('Its network interfaces. At the first address of the first, the service, SSH and the agent are reached.'),
  link: orNull(linkName()).describe(
    'Network interface of this machine on which ARP probes look for duplicates of its address. Without it: none are sent.',
  ),
  power: z
    .strictObject({ driver: z.string().describe('What switches it.'), settings })
    .describe('How the host is switched on and off.'),
  agentTokenFile: orNull(path()).describe("File with its agent's token, mode 0600. Without it: the host has no agent."),
  expendable: z
    .boolean()
    .prefault(false)
    .describe("Its volume's content may be lost: it is not backed up before it is overwritten."),
});

export const checkSchema = z.strictObject({
  kind: z.enum(['http', 'tcp']).prefault('http').describe('`http`: GET, any 2xx or 3xx will do. `tcp`: a connection.'),
  path: z
    .string()
    .regex(/^\/[^\s#]*$/, { error: 'must begin with "/" and have no spaces' })
    .max(2000)
    .optional()
    .describe('What is asked for; `/` without it. http only.'),
  contains: orNull(z.string().min(1).max(1000)).describe('What the body must contain. http only.'),
  timeout: durationMs('100ms', '60s').prefault('5s').describe('How long an answer may take.'),
});

export const scaleInSchema = z.strictObject({
  window: durationSeconds('10s', '24h')
    .prefault('5m')
    .describe('All hosts that take traffic must have been healthy for so long, without a gap.'),
  headroom: z
    .number()
    .positive()
    .lt(1)
    .prefault(0.7)
    .describe('Load that one host less may have, as a share of what was carried when the objective broke.'),
  cooldown: durationSeconds('0s', '24h')
    .prefault('5m')
    .describe('After any change of the number of hosts, nothing is taken away for so long.'),
});

export const scaleOutSchema = z.strictObject({
  cooldown: durationSeconds('0s', '24h').prefault('0s').describe('After any change nothing is added for so long.'),
  atOnce: z
    .int()
    .min(1)
    .max(64)
    .prefault(2)
    .describe(
      'Hosts on their way at the same time. More than the first only as far as more requests come than all of them would carry.',
    ),
});

export const timeoutsSchema = z.strictObject({
  off: durationMs('1s', '1h').prefault('60s').describe('Until a host that is switched off is seen off.'),
  boot: durationMs('1s', '2h').prefault('5m').describe('Until an understudy answers.'),
  drain: durationMs('1s', '24h').prefault('2m').describe('Until open connections have ended; then they are cut.'),
  call: durationMs('1s', '10m').prefault('30s').describe('Of one call of a power driver or a director.'),
  copy: durationMs('10s', '168h').prefault('4h').describe('Of one backup, copy or restore.'),
});

export const serviceSchema = z.strictObject({
  lead: z.string().describe('The host that is cloned.'),
  pool: z
    .array(z.string())
    .min(1)
    .max(64)
    .describe('Spares in the order of preference. A spare may be in several pools.'),
  mode: z
    .enum(['advise', 'approve', 'automatic'])
    .prefault('advise')
    .describe('What becomes of a decision: it is told, it waits for `understudy approve`, or it is carried out.'),
  hostsMax: z
    .int()
    .min(1)
    .max(65)
    .optional()
    .describe('Hosts of the service, the lead included, in any state, failed ones too. Without it: all.'),
  traffic: z
    .enum(['all', 'reads'])
    .prefault('reads')
    .describe('What understudies get: everything, or only requests that change nothing.'),
  director: z
    .strictObject({ driver: z.string().describe('What spreads the traffic.'), settings })
    .describe('Where the traffic of the service is directed.'),
  port: port().describe('Port of the service on every host.'),
  check: checkSchema.prefault({}).describe("How users use it; asked at each host's own address."),
  objective: objectiveSchema.optional().describe('When the service does well: the short form of one signal.'),
  signals: z
    .array(signalSchema)
    .max(SIGNALS_MAX)
    .prefault([])
    .describe('What is watched; any of it can break the policy.'),
  scaleOut: scaleOutSchema.prefault({}).describe('When an understudy is added.'),
  scaleIn: scaleInSchema.prefault({}).describe('When an understudy may go.'),
  timeouts: timeoutsSchema.prefault({}).describe('How long things may take.'),
  acceptUnknown: z
    .array(z.string().min(1).max(1200))
    .max(1000)
    .prefault([])
    .describe(
      'Unknown findings of the identity engine that are accepted, each as `RULE:PATH`; `*` in PATH is anything. ' +
        'A rule alone accepts what it finds at one path only.',
    ),
  portion: orNull(
    z
      .array(z.string().regex(/^\/./, { error: 'must begin with "/" and be more than that' }).max(1000))
      .min(1)
      .max(100),
  ).describe(
    'Files and folders of the lead, for spares that cannot run its system: only these are copied, into the own system of the spare, which ' +
      'stays who it is. Without it: the whole disk.',
  ),
});

export const configurationSchema = z.strictObject({
  state: path().describe(
    'Folder for all durable state; made with mode 0700 when it is not there. Others may not be able to write or move it.',
  ),
  tls: tlsSchema.optional().describe('Certificates of this machine. Without it nothing is encrypted.'),
  api: apiSchema.describe('The HTTP interface of the controller.'),
  storage: storageSchema.prefault({}).describe('The storage node.'),
  identity: imagesSchema.prefault({}).describe('How copies become hosts of their own.'),
  volumes: z.record(name(), volumeSchema).describe('Disks, by name.'),
  hosts: z.record(name(), hostSchema).describe('Computers that can lead or be an understudy, by name.'),
  services: z.record(name(), serviceSchema).describe('What users care about, by name.'),
});

/** Values after defaults. */
export type Raw = z.output<typeof configurationSchema>;
