import { Command } from 'commander';
import { UnderstudyError } from '../../base/mod.ts';
import {
  type FileChange,
  type HostIdentity,
  type IdentityEngine,
  type IdentityRequest,
  listed,
  openFindings,
  type Plan,
} from '../../identity/mod.ts';
import { checkTarget } from '../../replication/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import { type EngineFlags, engineWith, hostIn, withEngine } from './identity-options.ts';
import { countOf, hostLine, searched } from './inspect.ts';

interface Flags extends EngineFlags {
  as: string;
  lead?: string;
  accept: string[];
  otherHardware?: boolean;
  grow?: boolean;
  apply?: boolean;
  json?: boolean;
}

interface Outcome {
  readonly lead: HostIdentity;
  readonly plan: Plan;
  /** null: nothing was to be applied. */
  readonly verified: boolean | null;
}

export function personaliseCommand(done: (exit: number) => void): Command {
  const command = new Command('personalise')
    .description('Shows the changes that turn a copy of one host into another host; --apply makes and verifies them.')
    .argument('<image>', 'a raw or qcow2 image, or a block device, that no host is using')
    .requiredOption('--as <file>', 'identity that the copy gets')
    .option('--lead <file>', 'identity of the host that was copied (default: what the image says)')
    .option('--accept <rule:path...>', 'leave these unknown findings unchanged', [])
    .option(
      '--other-hardware',
      'the hosts have different disks and network cards: replace device names with stable ones',
    )
    .option('--grow', 'enlarge the last partition and the root file system in it to fill the disk')
    .option('--apply', 'change the image')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy personalise copy-of-web1.img --as spare1.yaml --apply');
  return withEngine(command).action(async (image: string, flags: Flags) => {
    const engine = await engineWith(flags);
    const understudy = await hostIn(flags.as);
    const lead = flags.lead === undefined ? null : await hostIn(flags.lead);
    const outcome = await untilInterrupted((signal) => personalise(engine, image, { lead, understudy }, flags, signal));
    if (flags.json === true) printResult(`${jsonText(answer(image, outcome))}\n`);
    else printResult(describe(engine, image, understudy, outcome));
    done(0);
  });
}

async function personalise(
  engine: IdentityEngine,
  image: string,
  hosts: { readonly lead: HostIdentity | null; readonly understudy: HostIdentity },
  { accept, apply, otherHardware = false, grow = false }: Flags,
  signal: AbortSignal,
): Promise<Outcome> {
  const { understudy } = hosts;
  const { lead, request, plan } = await engine.reading(image, signal, async (opened) => {
    const whose = hosts.lead ?? (await opened.identify());
    const asked: IdentityRequest = { lead: whose, understudy, otherHardware, grow };
    return { lead: whose, request: asked, plan: await opened.plan(asked) };
  });
  if (apply !== true) return { lead, plan, verified: null };
  const open = openFindings(plan.unknown, accept);
  if (open.length > 0) {
    const list = listed(open).map((line) => `  ${line}`);
    throw new UnderstudyError(
      'IDENTITY_UNKNOWN',
      `${image} is unchanged: these findings need a decision:\n${list.join('\n')}\n--accept RULE:PATH leaves one of them as it is, --rules FILE says what to do with it`,
    );
  }
  // Mounted, swap, or in the hands of another part of the kernel: whoever has it would write over what we write.
  await checkTarget({ target: image, sourceIdentity: '' });
  await engine.apply(image, plan, signal);
  const { verified, problems } = await engine.verify(image, request, plan, signal);
  if (!verified) {
    throw new UnderstudyError('IDENTITY_UNVERIFIED', `${image} must not be started: ${problems.join('; ')}`);
  }
  return { lead, plan, verified };
}

function describe(
  engine: IdentityEngine,
  image: string,
  understudy: HostIdentity,
  { lead, plan, verified }: Outcome,
): string {
  const head = `${image}: ${hostLine(lead)} becomes ${hostLine(understudy)}\n`;
  const isDone = plan.changes.length === 0 && plan.grow !== true && (plan.commands ?? []).length === 0;
  const planned = isDone ? 'there is nothing to change' : 'nothing is changed; --apply does it';
  const foot = verified === null ? planned : isDone ? 'nothing had to be changed; verified' : 'applied and verified';
  return `${head}${engine.show(plan)}\n${searched(plan.coverage)}${countOf(plan.findings, plan.coverage)}; ${foot}\n`;
}

function answer(image: string, { lead, plan, verified }: Outcome): unknown {
  const { fingerprint, findings, unknown, proof, coverage, renames = [] } = plan;
  const change = ({ path, rule, kind, before, after, mode }: FileChange) => ({
    ...{ path, rule, kind },
    change: before === null ? 'new' : after === null ? 'removed' : 'changed',
    mode: mode === null ? null : mode.toString(8).padStart(4, '0'),
  });
  return {
    ...{ image, fingerprint, lead: lead.hostName, applied: verified !== null, verified: verified === true },
    ...{ findings, unknown: unknown.length, changes: plan.changes.map(change), renames, proof, coverage },
  };
}
