// What understudy.yaml says of a virtual machine of ours.
import { z } from 'zod';

/** Addresses whose first byte is odd belong to groups (IEEE 802). */
const mac = z
  .string()
  .regex(
    /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/,
    'a hardware address of one card, lower case, as in 52:54:00:90:00:11',
  );
/** The configuration makes it absolute. */
const path = z
  .string()
  .regex(/^[^\0]+$/, 'a path')
  .meta({ format: 'path' });
/** IFNAMSIZ of netdevice(7): 15 bytes and a final zero. */
const linkName = z.string().regex(/^[^\s/]{1,15}$/, 'the name of a link: 1 to 15 characters');

const card = z.strictObject({
  tap: linkName.describe('A tap device that is there already, in the network namespace of the machine.'),
  mac: mac.describe('Hardware address of the card, as the interface of the host has it.'),
});

export const qemuSettings = z
  .strictObject({
    memoryMiB: z.int().min(1).max(1_048_576).default(512).describe('Memory of the machine, in MiB.'),
    cpus: z.int().min(1).max(255).default(1).describe('Processors of the machine.'),
    kernel: path.optional().describe('Kernel outside of the disk. Absent: the firmware boots from the disk.'),
    initrd: path.optional().describe('Initial file system for that kernel.'),
    append: z.string().max(2047).optional().describe('Command line for that kernel.'),
    interfaces: z
      .array(card)
      .max(8)
      .default([])
      .describe('Network cards, in the order in which the guest counts them.'),
    netns: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,100}$/, 'the name of a network namespace')
      .optional()
      .describe('Network namespace in which the machine runs; needs root. Absent: that of the controller.'),
    serialLog: path
      .optional()
      .describe('File that gets what the guest says on its first serial line, from the start of the machine on.'),
    accelerator: z
      .enum(['auto', 'kvm', 'tcg'])
      .default('auto')
      .describe('`auto`: KVM if a small machine really runs with it, else emulation (`tcg`).'),
  })
  .refine((machine) => machine.kernel !== undefined || (machine.initrd ?? machine.append) === undefined, {
    message: 'initrd and append mean something only with a kernel',
    path: ['kernel'],
  });

export type QemuSettings = z.infer<typeof qemuSettings>;
/** As it is written, before defaults. */
export type QemuSettingsInput = z.input<typeof qemuSettings>;
