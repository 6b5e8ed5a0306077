import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import {
  type Coverage,
  type HostIdentity,
  type Inspection,
  type OpenedImage,
  showCoverage,
  showFindings,
  showStarts,
} from '../../identity/mod.ts';
import { jsonText, printResult, stderr } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { type EngineFlags, engineWith, hostIn, withEngine } from './identity-options.ts';

interface Flags extends ConnectionFlags, EngineFlags {
  lead?: string;
  json?: boolean;
}

export function inspectCommand(done: (exit: number) => void): Command {
  const command = new Command('inspect')
    .description('Lists what on a disk must not exist twice, and what a clone does with it. Changes nothing.')
    .argument(
      '<image>',
      'a raw or qcow2 image or a block device that no host is using; with -f or --url the name of a host',
    )
    .option('--lead <file>', 'identity of the host (default: what the image says)')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText(
      'after',
      '\nExamples:\n  understudy inspect web1 -f understudy.yaml\n  understudy inspect /srv/volumes/web1.img',
    );
  return withConnection(withEngine(command)).action(async (image: string, flags: Flags) => {
    const isHost = flags.file !== undefined || flags.url !== undefined;
    const { lead, inspection } = isHost ? await askController(image, flags) : await lookAtImage(image, flags);
    if (flags.json === true) printResult(`${jsonText({ image, ...inspection })}\n`);
    else printResult(describe(image, lead, inspection));
    done(0);
  });
}

interface Answer {
  /** What is said of whose it is. */
  readonly lead: string;
  readonly inspection: Inspection;
}

/** A moment of the live disk, by the storage node that has it. */
async function askController(host: string, flags: Flags): Promise<Answer> {
  if (flags.lead !== undefined || flags.rules !== undefined || flags.kernelMount === true) {
    throw new UnderstudyError(
      'USAGE',
      '--lead, --rules and --kernel-mount are for images: what holds for a host, its controller knows',
    );
  }
  return untilInterrupted(async (signal) => ({
    lead: 'as its controller knows it',
    inspection: await (await connect(flags, signal)).inspect(host),
  }));
}

/** @throws USAGE for what is neither a file nor asked of a controller */
async function lookAtImage(image: string, flags: Flags): Promise<Answer> {
  if (!image.includes('/') && !existsSync(image)) {
    const why = `there is no file "${image}" here; the disk of a host is inspected with -f understudy.yaml or --url URL`;
    throw new UnderstudyError('USAGE', why);
  }
  const engine = await engineWith(flags);
  const given = flags.lead === undefined ? null : await hostIn(flags.lead);
  return untilInterrupted((signal) =>
    engine.reading(image, signal, async (opened) => {
      const host = given ?? (await identified(opened));
      return { lead: host === null ? 'host not known' : hostLine(host), inspection: await opened.inspect(host) };
    }),
  );
}

/** Null when the image does not say it: then nobody knows what to search for, but everything else is still found. */
async function identified(opened: OpenedImage): Promise<HostIdentity | null> {
  try {
    return await opened.identify();
  } catch (error) {
    if (codeOf(error) !== 'IDENTITY_FAILED') throw error;
    stderr.say(`understudy: ${messageOf(error)}; what else names it is not searched for\n`);
    return null;
  }
}

function describe(image: string, lead: string, { os, findings, starts, coverage }: Inspection): string {
  const open = starts.filter(({ knownBy }) => knownBy === null).length;
  const told = open === 1 ? '1 start is' : `${open} starts are`;
  const counts = `${countOf(findings, coverage)}${open === 0 ? '' : `; ${told} not understood`}`;
  const report = `${showFindings(findings)}${showStarts(starts)}`;
  return `${image}: ${os.id} ${os.version} for ${os.arch}, ${lead}\n\n${report}\n${searched(coverage)}${counts}\n`;
}

export function searched(coverage: Coverage | undefined): string {
  return coverage === undefined ? '' : `${showCoverage(coverage)}\n`;
}

export function hostLine({ hostName, domain, interfaces }: HostIdentity): string {
  const name = domain === undefined ? hostName : `${hostName}.${domain}`;
  const addresses = interfaces.flatMap((one) => one.addresses).join(', ');
  return `${name} (${addresses === '' ? 'addresses from a server' : addresses})`;
}

/** That nothing is left to decide is known only where everything was searched. */
export function countOf(findings: Inspection['findings'], coverage: Coverage | undefined): string {
  const unknown = findings.filter(({ action }) => action === 'unknown').length;
  const kept = findings.filter(({ action }) => action === 'keep').length;
  const changed = findings.length - unknown - kept;
  // What rule "addresses" guesses is that the host has some that the image does not name.
  const isNamed = !findings.some(({ rule, confidence }) => rule === 'addresses' && confidence === 'guess');
  const gaps = [
    ...(coverage?.isComplete === false ? ['not everything was searched'] : []),
    ...(isNamed ? [] : ['addresses of the host are not known']),
  ];
  const nothing =
    gaps.length === 0
      ? 'nothing is left to decide'
      : `nothing of what was found is left to decide, but ${gaps.join(', and ')}`;
  const open = unknown === 0 ? nothing : `${unknown} to be decided by you`;
  return `${findings.length} findings: ${changed} are changed on a clone, ${kept} stay, ${open}`;
}
