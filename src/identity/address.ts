// IP addresses as configuration files spell them. Two spellings of one address are one address.
import { isIPv4, isIPv6 } from 'node:net';

export interface Address {
  readonly family: 4 | 6;
  /** Canonical: RFC 5952 for IPv6. */
  readonly ip: string;
  /** 0 to 32 or 128; null: none was written. */
  readonly prefix: number | null;
}

/**
 * Reads "10.0.0.11", "10.0.0.11/24", "fd00::b/64". Null for everything else; host names, ranges and zones are no
 * addresses.
 */
export function parseAddress(text: string): Address | null {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const ip = match?.[1] ?? '';
  const family = isIPv4(ip) ? 4 : isIPv6(ip) && !ip.includes('%') ? 6 : null;
  if (family === null) return null;
  const prefix = match?.[2] === undefined ? null : Number(match[2]);
  if (prefix !== null && prefix > (family === 4 ? 32 : 128)) return null;
  return { family, ip: family === 4 ? ip : new URL(`http://[${ip}]/`).hostname.slice(1, -1), prefix };
}

export function formatAddress(address: Address): string {
  return address.prefix === null ? address.ip : `${address.ip}/${address.prefix}`;
}

/** One that many computers may have: loopback and unspecified; link-local ones are made of the hardware address. */
export function isShared(address: Address): boolean {
  if (address.family === 4)
    return address.ip.startsWith('127.') || address.ip.startsWith('169.254.') || address.ip === '0.0.0.0';
  return address.ip === '::1' || address.ip === '::' || /^fe[89ab]/.test(address.ip);
}

/** "255.255.255.0" of 24. */
export function netmaskOf(prefix: number): string {
  const bits = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}

/** 24 of "255.255.255.0" and of "24"; null for what is no netmask. */
export function prefixOf(netmask: string): number | null {
  if (/^\d{1,3}$/.test(netmask)) return Number(netmask) <= 128 ? Number(netmask) : null;
  const prefix = Array.from({ length: 33 }, (_, bits) => bits).find((bits) => netmaskOf(bits) === netmask);
  return prefix ?? null;
}

/** Tells whether a text holds an address, as a word of its own. IPv6 addresses are recognised in any spelling. */
export function addressMatcher(address: Address): (text: string) => boolean {
  if (address.family === 4) {
    const pattern = new RegExp(`(?<![\\w.])${address.ip.replaceAll('.', '\\.')}(?!\\w|\\.\\d)`);
    return (text) => pattern.test(text);
  }
  const word = /(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{1,38}(?:\d+\.\d+\.\d+\.\d+)?(?![\w:])/g;
  return (text) => {
    for (const match of text.matchAll(word)) {
      if (parseAddress(match[0])?.ip === address.ip) return true;
    }
    return false;
  };
}

/** Whether both are in the network that the first one says it is in. */
export function isSameNetwork(one: Address, other: Address): boolean {
  if (one.family !== other.family || one.prefix === null) return false;
  return bitsOf(one).slice(0, one.prefix) === bitsOf(other).slice(0, one.prefix);
}

function bitsOf({ family, ip }: Address): string {
  if (family === 4)
    return ip
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('');
  const [before = '', after = ''] = ip.split('::').map((half) =>
    half
      .split(':')
      .filter((part) => part !== '')
      .join(':'),
  );
  const [head, tail] = [before, after].map((half) => (half === '' ? [] : half.split(':')));
  const zeros = Array.from({ length: 8 - (head?.length ?? 0) - (tail?.length ?? 0) }, () => '0');
  const groups = [...(head ?? []), ...zeros, ...(tail ?? [])];
  return groups.map((part) => Number.parseInt(part, 16).toString(2).padStart(16, '0')).join('');
}

/**
 * The hardware address in lower case with colons, or null. Knows "52:54:00:00:00:11", "52-54-00-00-00-11",
 * "5254.0000.0011" (systemd.link(5)) and "82;84;0;0;0;17;" (nm-settings-keyfile(5)).
 */
export function parseMac(text: string): string | null {
  const bytes = /^(?:\d{1,3};){5}\d{1,3};?$/.test(text) ? text.split(';').slice(0, 6).map(Number) : null;
  if (bytes !== null)
    return bytes.every((byte) => byte < 256) ? bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':') : null;
  const words = /^([0-9a-f]{4})\.([0-9a-f]{4})\.([0-9a-f]{4})$/i.exec(text);
  const pairs =
    words === null
      ? text
      : words
          .slice(1)
          .join('')
          .replace(/..(?!$)/g, '$&:');
  const plain = pairs.toLowerCase().replace(/[-.]/g, ':');
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(plain) ? plain : null;
}
