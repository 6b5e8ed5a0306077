// What a host is known by, in every spelling in which a text may have it.
import { createHash } from 'node:crypto';
import { type Address, addressMatcher } from '../address.ts';
import type { HostIdentity } from '../contract.ts';
import { allAddresses, fullNameOf } from '../correspondence.ts';
import { uuidOf } from '../uuid.ts';
import { nameMatcher } from './name-as-value.ts';

export type ValueKind = 'machine-id' | 'address' | 'token' | 'host-key' | 'disk' | 'name';

/** Something to look for, and how to call it. */
export interface Value {
  readonly kind: ValueKind;
  /** "(secret)" for secrets. */
  readonly shown: string;
  /** Matches, in any case of letters, whatever text has it, and maybe more: source of a quick regular expression. */
  readonly spelling: string;
  /** Whether a line has it. */
  readonly isIn: (line: string) => boolean;
}

/** What an image tells of its host beside names and addresses. */
export interface Known {
  /** 32 hexadecimal digits each, in lower case. */
  readonly machineIds: readonly string[];
  /** Of cards beside those of the lead's interfaces, in lower case. @default none */
  readonly macs?: readonly string[];
  /** Of SSH host keys: "SHA256:...". */
  readonly hostKeys: readonly string[];
}

const NAME_CHARS_MIN = 2;
const TOKEN_CHARS_MIN = 8;
/** What must not be before and behind a spelling, so that it is not a part of something else. */
type Bounds = readonly [before: string, behind: string];
const NOT_HEX: Bounds = ['(?<![0-9a-f])', '(?![0-9a-f])'];
const NOT_NAME: Bounds = ['(?<![\\w-])', '(?![\\w-])'];
const ANYWHERE: Bounds = ['', ''];

export function valuesOf(lead: HostIdentity | null, { machineIds, hostKeys, macs = [] }: Known): readonly Value[] {
  const values = machineIds.map(machineIdValue);
  if (lead === null) return values;
  for (const address of allAddresses(lead)) values.push(addressValue(address));
  const known = new Set([...lead.interfaces.map(({ mac }) => mac.toLowerCase()), ...macs]);
  for (const mac of known) if (mac !== '') values.push(macValue(mac));
  const token = lead.agent?.token ?? '';
  if (token.length >= TOKEN_CHARS_MIN)
    values.push({ kind: 'token', shown: '(secret)', spelling: literal(token), isIn: (line) => line.includes(token) });
  values.push(...hostKeys.map(hostKeyValue), DISK);
  const name = lead.hostName;
  if (name.length >= NAME_CHARS_MIN && !/^localhost[46]?$/i.test(name))
    values.push({ kind: 'name', shown: name, spelling: literal(name), isIn: nameMatcher(name, fullNameOf(lead)) });
  return values;
}

/** What is the understudy's as well is no trace of the lead. */
export function isShared(value: Value, lead: HostIdentity, understudy: HostIdentity | null): boolean {
  if (understudy === null) return false;
  if (value.kind === 'name') return fullNameOf(lead) === fullNameOf(understudy);
  if (value.kind === 'token') return lead.agent?.token === understudy.agent?.token;
  const macs = understudy.interfaces.map(({ mac }) => mac.toLowerCase());
  const ips = allAddresses(understudy).map(({ ip }) => ip);
  return value.kind === 'address' && [...macs, ...ips].includes(value.shown);
}

export function literal(text: string): string {
  return text.replace(/[^A-Za-z0-9]/g, (sign) => (/[-\s]/.test(sign) ? sign : `\\${sign}`));
}

type Spelling = readonly [text: string, bounds: Bounds];

/** What looks around in a text costs several times as long: so all of it is done for texts that have the spelling. */
function value(kind: ValueKind, shown: string, spellings: readonly Spelling[]): Value {
  const pattern = patternOf(spellings);
  return { kind, shown, spelling: quickOf(spellings), isIn: (line) => pattern.test(line) };
}

function patternOf(spellings: readonly Spelling[]): RegExp {
  return new RegExp(spellings.map(([text, [before, behind]]) => before + text + behind).join('|'), 'i');
}

function quickOf(spellings: readonly Spelling[]): string {
  return spellings.map(([text]) => text).join('|');
}

/** As machine-id(5) has it, and with the dashes of a UUID. */
function machineIdValue(id: string): Value {
  return value('machine-id', id, [
    [id, NOT_HEX],
    [uuidOf(id), NOT_HEX],
  ]);
}

function addressValue(address: Address): Value {
  return address.family === 4 ? address4(address) : address6(address);
}

/** Dotted; with dashes, as names of machines have it; in reverse zones (RFC 1035, 3.5); as eight hexadecimal digits. */
function address4(address: Address): Value {
  const bytes = address.ip.split('.');
  const digits = bytes.map((byte) => Number(byte).toString(16).padStart(2, '0')).join('');
  return value('address', address.ip, [
    [bytes.join('\\.'), ['(?<![\\w.])', '(?!\\w|\\.\\d)']],
    [bytes.join('[-_]'), ['(?<!\\d|\\d[-_])', '(?!\\d|[-_]\\d)']],
    [`${bytes.toReversed().join('\\.')}\\.in-addr\\.arpa`, ['(?<![\\w.])', '']],
    [digits, ['(?:(?<![0-9a-f])|(?<=(?<![0-9a-f])0x))', '(?![0-9a-f])']],
  ]);
}

/** Any spelling of RFC 4291, 2.2; with dashes; in reverse zones (RFC 3596, 2.5); as 32 hexadecimal digits. */
function address6(address: Address): Value {
  const groups = groupsOf(address.ip);
  const digits = groups.map((group) => group.padStart(4, '0')).join('');
  const others: readonly Spelling[] = [
    [address.ip.replaceAll(':', '-'), NOT_NAME],
    [groups.map((group) => `0{0,3}${group}`).join('-'), NOT_NAME],
    [`${[...digits].toReversed().join('\\.')}\\.ip6\\.arpa`, ANYWHERE],
    [digits, NOT_HEX],
  ];
  const isWord = addressMatcher(address);
  const pattern = patternOf(others);
  // Every spelling begins with the first group, unless zeros are left out there.
  const [first = '0'] = groups;
  const spelling = `${first === '0' ? '::' : `${first}:`}|${quickOf(others)}`;
  return { kind: 'address', shown: address.ip, spelling, isIn: (line) => isWord(line) || pattern.test(line) };
}

/** The eight groups of a canonical address, without leading zeros. */
function groupsOf(ip: string): readonly string[] {
  const [before = '', behind] = ip.split('::');
  const [left, right] = [before, behind ?? ''].map((part) => (part === '' ? [] : part.split(':')));
  const count = (left?.length ?? 0) + (right?.length ?? 0);
  const zeros = behind === undefined ? [] : Array.from({ length: 8 - count }, () => '0');
  return [...(left ?? []), ...zeros, ...(right ?? [])];
}

/**
 * With colons, dashes or dots, in groups of four, without any; and in the address that IPv6 makes of it (RFC 4291, A).
 */
function macValue(mac: string): Value {
  const bytes = mac.split(':');
  const number = (at: number): number => Number.parseInt(bytes[at] ?? '0', 16);
  const groups = [
    ((number(0) ^ 2) << 8) | number(1),
    (number(2) << 8) | 0xff,
    0xfe00 | number(3),
    (number(4) << 8) | number(5),
  ].map((group) => `0{0,3}${group.toString(16)}`);
  const fours = [0, 2, 4].map((at) => `${bytes[at]}${bytes[at + 1]}`);
  return value('address', mac, [
    [bytes.join('[:.-]'), NOT_HEX],
    [fours.join('[.:-]'), NOT_HEX],
    [bytes.join(''), NOT_HEX],
    [groups.join(':'), ['(?<![0-9a-f])', '(?![0-9a-f:])']],
  ]);
}

/** As ssh-keygen(1) prints it, and as SSHFP records have it (RFC 6594). */
function hostKeyValue(fingerprint: string): Value {
  const digest = Buffer.from(fingerprint.replace(/^SHA256:/, ''), 'base64').toString('hex');
  const code = fingerprint.replace(/^SHA256:/, '');
  const pattern = patternOf([[digest, NOT_HEX]]);
  return {
    kind: 'host-key',
    shown: fingerprint,
    spelling: `${literal(code)}|${digest}`,
    isIn: (line) => line.includes(code) || pattern.test(line),
  };
}

/**
 * A disk by its serial number or its place, as udev calls it. Which serial numbers the lead's disks have its image does
 * not say; whichever it is, the clone has none of them.
 */
const DISK: Value = value('disk', 'a disk by its serial number or place', [
  ['/dev/disk/by-(?:id/(?:ata|scsi|nvme|usb|virtio|wwn|mmc)-|path/)[\\w.:-]{4,}', ANYWHERE],
]);

/** What tells two searches for the same values apart from others. */
export function keyOfValues(values: readonly Value[]): string {
  return createHash('sha256')
    .update(JSON.stringify(values.map(({ kind, spelling }) => [kind, spelling])))
    .digest('hex');
}
