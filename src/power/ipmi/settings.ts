// What understudy.yaml says of a host with a baseboard management controller.
import { z } from 'zod';

export const ipmiSettings = z.strictObject({
  /** Name or address of the BMC. */
  address: z
    .string()
    .min(1)
    .max(253)
    .regex(/^[^\s-]\S*$/, 'a name or an address'),
  port: z.int().min(1).max(65_535).default(623),
  /** IPMI 2.0 allows 16 bytes. */
  user: z.string().regex(/^[\x21-\x7e]{1,16}$/, 'a user name: 1 to 16 characters without spaces'),
  /** File whose first line is the password; readable by nobody else. */
  passwordFile: z
    .string()
    .regex(/^[^\0]+$/, 'a path')
    .meta({ format: 'path' }),
  /** Of table 22-20 of the IPMI specification: 3 is HMAC-SHA1 with AES, 17 HMAC-SHA256 with AES. */
  cipherSuite: z.union([z.literal(3), z.literal(17)]).default(3),
});

export type IpmiSettings = z.infer<typeof ipmiSettings>;
/** As it is written, before defaults. */
export type IpmiSettingsInput = z.input<typeof ipmiSettings>;
