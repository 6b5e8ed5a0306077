import { Command } from 'commander';
import type { AgentCommand } from '../agent/mod.ts';

/** Loads what runs the agent, which is done only when it is asked for, so that a copy starts no later because of it. */
export type LoadAgent = () => Promise<(options: AgentCommand) => Promise<void>>;

export function agentCommand(done: (exit: number) => void, load: LoadAgent): Command {
  return new Command('agent')
    .description('Watches this host and its service, compares them with the objective, and reports to the controller.')
    .option('--controller <url>', 'for example https://controller.example:7780')
    .option('--host <name>', 'name of this host in the configuration of the controller')
    .option('--token-file <file>', "the token of this host's agent")
    .option('--cert <file>', 'the certificate of this host (PEM), instead of a token')
    .option('--key <file>', 'its key, mode 0600; without it: the name of --cert with .key')
    .option('--cacert <file>', "PEM of the authority that has signed the controller's certificate")
    .option('--insecure', 'allow http to another machine: whoever can read the network has the token')
    .option(
      '--config <file>',
      'JSON with host, controller, tokenFile or certFile, caFile, command (/etc/understudy/agent.json)',
    )
    .option('--proc <folder>', "where the host's proc file system is (/proc)")
    .option(
      '--cgroup <folder>',
      'measure a control group (v2) instead of the machine: for a container that is the host',
    )
    .option('--state <folder>', 'folder for learned baselines; without it, they are lost when the agent ends')
    .option('--once', 'measure and report once, then exit')
    .option('--json', 'print each report as a JSON line on standard output (docs/agent.md)')
    .addHelpText(
      'after',
      '\nExample:\n  understudy agent --controller https://10.20.0.1:7780 --host web1 --token-file /etc/understudy/agent.token',
    )
    .action(async (options: AgentCommand) => {
      const run = await load();
      await run(options);
      done(0);
    });
}
