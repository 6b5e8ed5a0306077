// How a command finds the controller, checks that it is the right one, and says who asks: options, then
// understudy.yaml, then the environment.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { type Client, type ClientTls, createClient, readAddress, tokenForClient } from '../../api/mod.ts';
import { errnoOf, reasonOf, UnderstudyError } from '../../base/mod.ts';
import { type Connection, loadConnection } from '../../config/mod.ts';
import { AUTHORITY, readKeyOf } from '../../pki/mod.ts';

export interface ConnectionFlags {
  file?: string;
  url?: string;
  tokenFile?: string;
  cacert?: string;
  cert?: string;
  key?: string;
  insecure?: boolean;
}

/** Adds the options that say where the controller is. */
export function withConnection(command: Command): Command {
  return command
    .addOption(new Option('-f, --file <file>', 'understudy.yaml of a controller on this machine'))
    .addOption(new Option('--url <url>', 'the controller, for example https://10.20.0.1:7780 (env: UNDERSTUDY_URL)'))
    .addOption(new Option('--token-file <file>', 'file with the token (env: UNDERSTUDY_TOKEN_FILE)'))
    .addOption(
      new Option(
        '--cacert <file>',
        "PEM of the authority that has signed the controller's certificate (env: UNDERSTUDY_CACERT)",
      ),
    )
    .addOption(new Option('--cert <file>', 'PEM of your certificate, instead of a token (env: UNDERSTUDY_CERT)'))
    .addOption(
      new Option('--key <file>', 'its key, mode 0600; without it: the name of --cert with .key (env: UNDERSTUDY_KEY)'),
    )
    .addOption(new Option('--insecure', 'allow http to another machine: whoever can read the network has the token'));
}

/** @throws USAGE, CONFIG_INVALID, CONFIG_UNREADABLE, CERTIFICATE_INVALID, API_UNAVAILABLE, API_INSECURE */
export async function connect(flags: ConnectionFlags, signal?: AbortSignal): Promise<Client> {
  const { file, url, insecure = false } = flags;
  const local = file === undefined ? null : await loadConnection(file);
  const here = url === undefined && local !== null ? await readAddress(local.state) : null;
  const address = here?.url ?? url ?? variable('UNDERSTUDY_URL');
  const pair = await pairOf(flags, local);
  // The controller's own token is for its own machine, and goes to no other address.
  const own = flags.tokenFile === undefined && pair === null ? (here?.token ?? null) : null;
  const token = own ?? (await tokenOf(flags, local, pair !== null));
  if (address === undefined || (token === null && pair === null)) {
    throw new UnderstudyError(
      'USAGE',
      'say where the controller is: -f understudy.yaml, or --url and --token-file or --cert',
    );
  }
  if (!URL.canParse(address)) throw new UnderstudyError('USAGE', `"${address}" is not a URL`);
  const tls: ClientTls = {
    authorityPem: await authorityOf(flags, local),
    pair,
    // The controller on this machine is known by its name, at whatever address it listens.
    serverName: here === null ? null : (local?.tls?.name ?? null),
  };
  const allowed = insecure || (here !== null && local?.api.insecure === true);
  return createClient({ url: address, token, tls, insecure: allowed, ...(signal === undefined ? {} : { signal }) });
}

/** What is said on the command line goes before what stands in files, and that before the environment. */
async function tokenOf(flags: ConnectionFlags, local: Connection | null, hasPair: boolean): Promise<string | null> {
  const named = flags.tokenFile ?? (hasPair ? undefined : (local?.api.tokensFile ?? variable('UNDERSTUDY_TOKEN_FILE')));
  return named === undefined ? null : tokenForClient(named);
}

async function pairOf({ cert, key, tokenFile }: ConnectionFlags, local: Connection | null): Promise<ClientTls['pair']> {
  const fromOutside = local === null && tokenFile === undefined;
  const file = cert ?? (fromOutside ? variable('UNDERSTUDY_CERT') : undefined);
  if (file === undefined) {
    if (key !== undefined) throw new UnderstudyError('USAGE', '--key without --cert');
    return null;
  }
  const keyFile = key ?? (cert === undefined ? variable('UNDERSTUDY_KEY') : undefined) ?? besides(file);
  const pem = await textOf(file);
  return { cert: pem, key: await readKeyOf(file, pem, keyFile) };
}

/** "alice.crt" has its key in "alice.key". */
function besides(certificateFile: string): string {
  return `${certificateFile.replace(/\.(crt|pem)$/, '')}.key`;
}

async function authorityOf({ cacert }: ConnectionFlags, local: Connection | null): Promise<string | null> {
  const own = local?.tls == null ? undefined : join(local.tls.folder, AUTHORITY);
  const file = cacert ?? own ?? variable('UNDERSTUDY_CACERT');
  return file === undefined ? null : textOf(file);
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    throw new UnderstudyError('CONFIG_UNREADABLE', `${file} cannot be read: ${reasonOf(errno)}`, { cause });
  }
}

/** An empty one says nothing. */
function variable(name: string): string | undefined {
  return process.env[name] || undefined;
}
