// Identifiers for the understudy that nobody has to remember: made of the lead's, which only the lead knows, and of who the
// understudy is, which nobody else is. So they are as hard to guess as the lead's, differ for every understudy, and are the same in
// every plan for these two.
import { createHmac } from 'node:crypto';
import type { HostIdentity } from '../contract.ts';
import { uuidOf } from '../uuid.ts';

/** @param bytes at most 32 */
export function derive(leads: string, understudy: HostIdentity, bytes: number): Buffer {
  const { hostName, domain = '', interfaces } = understudy;
  const who = [hostName, domain, ...interfaces.map(({ mac }) => mac.toLowerCase())];
  return createHmac('sha256', leads).update(JSON.stringify(who)).digest().subarray(0, bytes);
}

/** 32 hexadecimal digits in the form of a random UUID (RFC 9562, version 4). */
export function deriveId(leads: string, understudy: HostIdentity): string {
  const bytes = derive(leads, understudy, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex');
}

/** The same with dashes. */
export function deriveUuid(leads: string, understudy: HostIdentity): string {
  return uuidOf(deriveId(leads, understudy));
}
