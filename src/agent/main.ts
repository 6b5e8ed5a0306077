// The command line of the bundled agent. Results go to standard output, what happens and complaints to standard error.
import { parseArgs } from 'node:util';
import { codeOf, EXIT_INTERNAL, errorRegistry, messageOf, UnderstudyError } from '../base/mod.ts';
import { runAgentCommand } from './command.ts';

const USAGE = `Usage: agent [options]

Watches this host and its service, judges them by what is asked of the service, and tells the controller.

  --host NAME          this host, as the controller's configuration names it
  --controller URL     for example https://controller.example:7780
  --token-file FILE    the token of this host's agent
  --cert FILE          the certificate of this host (PEM), instead of a token
  --key FILE           its key, mode 0600; without it: the name of --cert with .key
  --cacert FILE        PEM of the authority that has signed the controller's certificate
  --insecure           allow http to another machine: whoever can read the network has the token
  --config FILE        JSON with host, controller, tokenFile or certFile, caFile, command (/etc/understudy/agent.json)
  --proc FOLDER        where the host's proc file system is (/proc)
  --cgroup FOLDER      measure a control group (v2) instead of the machine: for a container that is the host
  --state FOLDER       where baselines keep what they have learned; without it, they begin anew with each start
  --once               one measurement, one report of it, then the end
  --json               each report as a line of JSON on standard output
  --help               this text

Example:
  node agent.js --controller https://10.20.0.1:7780 --host web1 --token-file /etc/understudy/agent.token
`;

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        host: { type: 'string' },
        controller: { type: 'string' },
        'token-file': { type: 'string' },
        cert: { type: 'string' },
        key: { type: 'string' },
        cacert: { type: 'string' },
        insecure: { type: 'boolean' },
        config: { type: 'string' },
        proc: { type: 'string' },
        cgroup: { type: 'string' },
        state: { type: 'string' },
        once: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (cause) {
    throw new UnderstudyError('USAGE', messageOf(cause), { cause });
  }
}

/** @param args without program and script. @returns the exit status */
export async function agentMain(args: readonly string[]): Promise<number> {
  try {
    const values = parse(args);
    if (values.help === true) {
      process.stdout.write(USAGE);
      return 0;
    }
    await runAgentCommand({ ...values, tokenFile: values['token-file'] });
    return 0;
  } catch (error) {
    const code = codeOf(error);
    const text = code === null && error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
    process.stderr.write(
      `understudy agent: ${code === null ? 'defect: ' : ''}${text}${code === null ? '' : ` (${code})`}\n`,
    );
    return code === null ? EXIT_INTERNAL : errorRegistry[code].exit;
  }
}
