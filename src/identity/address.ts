// IP addresses as configuration files spell them. Two spellings of one address are one address.
import { isIPv4, isIPv6 } from 'node:net';

export interface Address {
  readonly family: 4 | 6;
  /** Canonical: RFC 5952 for IPv6. */
  readonly ip: string;
  /** 0 to 32 or 128; null: none was written. */
  readonly prefix: number | null;
}

/** Reads "10.0.0.11", "10.0.0.11/24", "fd00::b/64". Null for everything else; host names, ranges and zones are no addresses. */
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

/** The hardware address in lower case with colons, or null. */
export function parseMac(text: string): string | null {
  const plain = text.toLowerCase().replace(/[-.]/g, ':');
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(plain) ? plain : null;
}
