// How a command finds the controller: options, then understudy.yaml, then the environment.
import { type Command, Option } from 'commander';
import { type Client, createClient, readAddress, tokenForClient } from '../../api/mod.ts';
import { UnderstudyError } from '../../base/mod.ts';
import { loadConnection } from '../../config/mod.ts';

export interface ConnectionFlags {
  file?: string;
  url?: string;
  tokenFile?: string;
}

/** Adds the options that say where the controller is. */
export function withConnection(command: Command): Command {
  return command
    .addOption(new Option('-f, --file <file>', 'understudy.yaml of a controller on this machine'))
    .addOption(new Option('--url <url>', 'the controller, for example http://10.0.0.1:7780 (env: UNDERSTUDY_URL)'))
    .addOption(new Option('--token-file <file>', 'file with the token (env: UNDERSTUDY_TOKEN_FILE)'));
}

/** @throws USAGE, CONFIG_INVALID, CONFIG_UNREADABLE, API_UNAVAILABLE */
export async function connect({ file, url, tokenFile }: ConnectionFlags, signal?: AbortSignal): Promise<Client> {
  const local = file === undefined ? null : await loadConnection(file);
  const here = local === null || url !== undefined ? null : await readAddress(local.state);
  const address = url ?? here?.url ?? variable('UNDERSTUDY_URL');
  // The controller's own token is for its own machine, and goes to no other address.
  const own = tokenFile === undefined ? (here?.token ?? null) : null;
  const tokens = tokenFile ?? local?.api.tokensFile ?? variable('UNDERSTUDY_TOKEN_FILE');
  if (address === undefined || (tokens === undefined && own === null)) {
    throw new UnderstudyError('USAGE', 'say where the controller is: -f understudy.yaml, or --url and --token-file');
  }
  const token = own ?? (await tokenForClient(tokens ?? ''));
  return createClient({ url: address, token, ...(signal === undefined ? {} : { signal }) });
}

/** An empty one says nothing. */
function variable(name: string): string | undefined {
  return process.env[name] || undefined;
}
