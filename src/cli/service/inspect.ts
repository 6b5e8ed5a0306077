import { Command } from 'commander';
import { codeOf, messageOf } from '../../base/mod.ts';
import { type HostIdentity, type IdentityEngine, type Inspection, showFindings } from '../../identity/mod.ts';
import { engineWith, hostIn, untilInterrupted } from './identity-options.ts';

interface Flags {
  lead?: string;
  rules?: string;
  json?: boolean;
}

export function inspectCommand(done: (exit: number) => void): Command {
  return new Command('inspect')
    .description(
      'Says what in a disk image must not exist twice, and what would become of it on a clone. Changes nothing.',
    )
    .argument('<image>', 'a raw or qcow2 image, or a block device, that no host is using')
    .option('--lead <file>', 'who the host is; without it, what the image says')
    .option('--rules <file>', 'rules of your own; docs/identity.md')
    .option('--json', 'one object on standard output; docs/cli.md has its shape')
    .addHelpText('after', '\nExample:\n  understudy inspect /srv/volumes/web1.img')
    .action(async (image: string, flags: Flags) => {
      const engine = await engineWith(flags.rules);
      const given = flags.lead === undefined ? null : await hostIn(flags.lead);
      const [lead, inspection] = await untilInterrupted(async (signal) => {
        const host = given ?? (await identified(engine, image, signal));
        return [host, await engine.inspect(image, host, signal)] as const;
      });
      if (flags.json === true) process.stdout.write(`${JSON.stringify({ image, ...inspection })}\n`);
      else process.stdout.write(describe(image, lead, inspection));
      done(0);
    });
}

/** Null when the image does not say it: then nobody knows what to search for, but everything else is still found. */
async function identified(engine: IdentityEngine, image: string, signal: AbortSignal): Promise<HostIdentity | null> {
  try {
    return await engine.identify(image, signal);
  } catch (error) {
    if (codeOf(error) !== 'IDENTITY_FAILED') throw error;
    process.stderr.write(`understudy: ${messageOf(error)}; what else names it is not searched for\n`);
    return null;
  }
}

function describe(image: string, lead: HostIdentity | null, { os, findings }: Inspection): string {
  const host = lead === null ? 'nobody knows whose' : hostLine(lead);
  const counts = countOf(findings);
  return `${image}: ${os.id} ${os.version} for ${os.arch}, ${host}\n\n${showFindings(findings)}\n${counts}\n`;
}

export function hostLine({ hostName, domain, interfaces }: HostIdentity): string {
  const name = domain === undefined ? hostName : `${hostName}.${domain}`;
  return `${name} (${interfaces.flatMap(({ addresses }) => addresses).join(', ')})`;
}

export function countOf(findings: Inspection['findings']): string {
  const unknown = findings.filter(({ action }) => action === 'unknown').length;
  const kept = findings.filter(({ action }) => action === 'keep').length;
  const changed = findings.length - unknown - kept;
  const open = unknown === 0 ? 'nothing is left to decide' : `${unknown} to be decided by you`;
  return `${findings.length} findings: ${changed} are changed on a clone, ${kept} stay, ${open}`;
}
