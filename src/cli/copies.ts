import { Command } from 'commander';
import { formatBytes, formatDuration, shown } from '../base/mod.ts';
import { copies, type RunningCopy } from '../replication/mod.ts';
import { jsonText, printResult } from './output.ts';

export function copiesCommand(done: (exit: number) => void): Command {
  return new Command('copies')
    .description('Lists your running copies on this machine, with the position of each target.')
    .option('--json', 'print a JSON array on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy copies')
    .action((options: { json?: boolean }) => {
      const running = copies();
      printResult(options.json === true ? `${jsonText(running)}\n` : describe(running));
      done(0);
    });
}

function describe(running: readonly RunningCopy[]): string {
  if (running.length === 0) return 'no copy is running\n';
  return running.map(describeOne).join('\n');
}

function describeOne(copy: RunningCopy): string {
  const at = copy.blocksTotal === 0 ? 0 : Math.floor((100 * copy.position) / copy.blocksTotal);
  const read = `at ${at} %, ${formatBytes(copy.bytesRead)} read`;
  const gathers = `gathers copies for ${formatDuration(copy.gatherMs / 1000)} more`;
  const head = `${shown(copy.source)}  ${copy.gatherMs > 0 ? gathers : read}, reader ${copy.producerPid}\n`;
  const rows = copy.consumers.map((consumer) => {
    const left = formatBytes(consumer.blocksLeft * copy.blockSize);
    const start = consumer.startBlock < 0 ? 'not started' : `started at block ${consumer.startBlock}`;
    return `  ${shown(consumer.target)}  ${consumer.state}, ${left} left, ${start}, process ${consumer.pid}\n`;
  });
  return head + rows.join('');
}
