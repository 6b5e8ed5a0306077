// What understudy.yaml says of a host with a baseboard management controller.
import { z } from 'zod';

const address = z
  .string()
  .max(253)
  .regex(/^[^\s-]\S*$/, 'a name or an address');
/** IPMI 2.0 allows 16 bytes. */
const user = z.string().regex(/^[\x21-\x7e]{1,16}$/, 'a user name: 1 to 16 characters without spaces');
/** The configuration makes it absolute. */
const path = z
  .string()
  .regex(/^[^\0]+$/, 'a path')
  .meta({ format: 'path' });
/** Of table 22-20 of the IPMI 2.0 specification. */
const cipherSuite = z.union([z.literal(3), z.literal(17)]);

export const ipmiSettings = z.strictObject({
  address: address.describe('Name or address of the BMC.'),
  port: z.int().min(1).max(65_535).default(623).describe('UDP port of the BMC.'),
  user: user.describe('User of the BMC; needs the right to switch power (operator).'),
  passwordFile: path.describe('File whose first line is the password; readable by nobody else.'),
  cipherSuite: cipherSuite.default(3).describe('3: HMAC-SHA1 with AES-128. 17: HMAC-SHA256 with AES-128.'),
});

export type IpmiSettings = z.infer<typeof ipmiSettings>;
/** As it is written, before defaults. */
export type IpmiSettingsInput = z.input<typeof ipmiSettings>;
