// What a file about one host may say, and a file of rules for what must not exist twice.
import * as z from 'zod';
import { address, cidr, domain, linkName, mac, name, originUrl, path } from './fields.ts';

const lines = z
  .string()
  .min(1)
  .max(1000)
  .superRefine((text, context) => {
    try {
      new RegExp(text);
    } catch {
      context.addIssue({
        code: 'custom',
        message: `"${text.slice(0, 100)}" is not a regular expression`,
        params: { hint: String.raw`write for example ^\s*node_id\s*=\s*(\S+)` },
      });
    }
  });

export const identitySchema = z.strictObject({
  hostName: name().describe("The host's own name for itself, without domain."),
  domain: domain().optional().describe('Domain of its host name.'),
  interfaces: z
    .array(
      z.strictObject({
        name: linkName().describe("The host's own name for it."),
        mac: mac().describe('Its hardware address.'),
        addresses: z
          .array(cidr())
          .max(16)
          .prefault([])
          .describe('Addresses, each with the length of its network. None: a card that a bond or a bridge uses.'),
        gateway: address().optional().describe('Default route.'),
      }),
    )
    .min(1)
    .max(16)
    .superRefine((list, context) => {
      if (list.some(({ addresses }) => addresses.length > 0)) return;
      context.addIssue({
        code: 'custom',
        message: 'a host has an address',
        params: { hint: 'name it in addresses of one of its interfaces' },
      });
    })
    .describe('Its network interfaces.'),
  agent: z
    .strictObject({
      host: name().describe('What its agent calls it.'),
      controller: originUrl().describe('Where the agent reports to.'),
      tokenFile: path().describe("File with the agent's token, mode 0600."),
    })
    .optional()
    .describe('Without it an agent in the image is disabled.'),
});

const action = z.enum(['keep', 'unknown', 'delete', 'disable', 'comment', 'replace', 'generate', 'run']);

export const rulesSchema = z.strictObject({
  rules: z
    .array(
      z.strictObject({
        name: name().describe('Stable: `acceptUnknown` and `keep` name it.'),
        why: z.string().min(1).max(500).describe('Why it must not exist twice; shown in reports.'),
        path: z
          .array(z.string().regex(/^\/./, { error: 'must begin with "/"' }).max(1000))
          .min(1)
          .max(100)
          .describe('Files: `*` for any part of a name, `{a,b}` for either, `**` for up to four folders or none.'),
        lines: lines.optional().describe('Lines in them, as a regular expression; its first group is the value.'),
        secret: z.boolean().prefault(false).describe('What is found is never shown.'),
        action: action.describe(
          '`keep` and `unknown` say so only; `delete` removes the files, `comment` makes the lines comments, `replace` puts another ' +
            'value in place of that of the lines, `generate` another content in place of the whole file, `disable` keeps units from starting, ' +
            '`run` runs a program of the image in the image, without network, which has to make the file again or remove it.',
        ),
        with: z
          .string()
          .max(1000)
          .optional()
          .describe(
            'With `replace`: the new value; with `generate`: the new content. `{{hostName}}`, `{{fullName}}`, `{{address}}` and `{{mac}}` are those of the understudy, ' +
              '`{{id}}`, `{{uuid}}` and `{{number}}` are made of the old value, and differ for every understudy.',
          ),
        units: z.array(z.string().min(1).max(200)).max(50).prefault([]).describe('With `disable`: the units.'),
        run: z
          .array(z.string().max(1000))
          .max(100)
          .prefault([])
          .describe(
            'With `run`: the program, absolute inside the image, and its arguments; the variables of `with` work here, and are in the ' +
              'environment as UNDERSTUDY_HOST_NAME and so on. It takes a kernel mount.',
          ),
      }),
    )
    .max(1000)
    .prefault([])
    .describe('Rules of your own.'),
  keep: z
    .array(
      z.strictObject({
        rule: z.string().min(1).max(100).describe('Name of a rule, yours or one that comes with the program.'),
        path: z
          .string()
          .min(1)
          .max(1000)
          .optional()
          .describe('Only what it finds here. Without it: all that it finds.'),
        because: z.string().min(1).max(500).describe('The reason; shown in reports.'),
      }),
    )
    .max(1000)
    .prefault([])
    .describe('What stays as it is on a clone, although a rule would change it or ask.'),
});

export type RawIdentity = z.output<typeof identitySchema>;
export type RawRules = z.output<typeof rulesSchema>;
