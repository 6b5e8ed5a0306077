import { Command } from 'commander';
import { showFindings } from '../../identity/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import { engineWith, hostIn } from './identity-options.ts';

interface Flags {
  as?: string;
  kernelMount?: boolean;
  json?: boolean;
}

export function rulesCommand(done: (exit: number) => void): Command {
  const test = new Command('test')
    .description('Runs the rules of a file against an image, without the built-in ones. Changes nothing.')
    .argument('<rules>', 'rules.yaml')
    .argument('<image>', 'a raw or qcow2 image, or a block device, that no host is using')
    .option('--as <file>', 'identity that the copy would get: shows what would change')
    .option('--kernel-mount', 'the kernel may mount a private overlay of the image: XFS, btrfs')
    .option('--json', 'the findings as an array on standard output')
    .addHelpText('after', '\nExample:\n  understudy rules test shop.yaml copy-of-web1.img --as spare1.yaml')
    .action(async (rules: string, image: string, flags: Flags) => {
      const engine = await engineWith({ rules, ...flags }, true);
      const understudy = flags.as === undefined ? null : await hostIn(flags.as);
      const text = await untilInterrupted(async (signal) => {
        if (understudy === null || flags.json === true) {
          const { findings } = await engine.inspect(image, null, signal);
          return flags.json === true ? `${jsonText(findings)}\n` : showFindings(findings);
        }
        return engine.reading(image, signal, async (opened) =>
          engine.show(await opened.plan({ lead: await opened.identify(), understudy })),
        );
      });
      printResult(text === '' ? 'nothing is found\n' : text);
      done(0);
    });
  return new Command('rules').description('Tests your own rules for what must not exist twice.').addCommand(test);
}
