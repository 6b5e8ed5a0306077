import { Command } from 'commander';
import { formatBytes } from '../../base/mod.ts';
import { createIdentityEngine, showFindings, type Transplant } from '../../identity/mod.ts';
import { checkTarget } from '../../replication/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';

interface Flags {
  accept: string[];
  apply?: boolean;
  kernelMount?: boolean;
  json?: boolean;
}

export function transplantCommand(done: (exit: number) => void): Command {
  return new Command('transplant')
    .description('Copies some files of one host into the system of another, which keeps its identity.')
    .argument('<lead>', 'image or block device of the host that has the files; it is only read')
    .argument('<spare>', 'image or block device of the other host; no host may be using it')
    .argument('<path...>', 'files and folders of the lead')
    .option('--accept <rule:path...>', 'leave these unknown findings unchanged', [])
    .option('--apply', 'change the image of the spare')
    .option('--kernel-mount', 'the kernel may mount private overlays of the images: XFS, btrfs')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText(
      'after',
      '\nExample:\n  understudy transplant web1.img spare1.img /var/lib/dokuwiki /etc/nginx/sites-enabled --apply',
    )
    .action(async (lead: string, spare: string, portion: string[], flags: Flags) => {
      const { accept, apply = false, kernelMount = false } = flags;
      if (apply) await checkTarget({ target: spare, sourceIdentity: '' });
      const engine = createIdentityEngine({ formats: 'detect', kernelMount });
      const request = { lead: null, understudy: null, portion, accept, apply };
      const result = await untilInterrupted((signal) => engine.transplant(lead, spare, request, signal));
      printResult(flags.json === true ? `${jsonText({ lead, spare, ...result })}\n` : describe(result));
      done(0);
    });
}

function describe({ files, folders, bytes, written, removed, skipped, findings, applied }: Transplant): string {
  const what = `${files} files in ${folders} folders, ${formatBytes(bytes)}`;
  const left = skipped.length === 0 ? '' : `, ${skipped.length} devices, sockets and pipes left out`;
  const end = applied
    ? `${written} written, ${removed} removed`
    : `${written} would be written, ${removed} removed; --apply does it`;
  return `${showFindings(findings)}${what}${left}: ${end}\n`;
}
