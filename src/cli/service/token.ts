// `understudy token`: changes the file of tokens on the controller's machine. The controller reads it again by itself.
import { Argument, Command } from 'commander';
import {
  changeTokens,
  digestOf,
  formatLine,
  isName,
  LOCAL_NAME,
  makeToken,
  parseLine,
  parseTokens,
  readSecret,
  type TokenLine,
} from '../../api/mod.ts';
import { UnderstudyError } from '../../base/mod.ts';
import { loadConnection } from '../../config/mod.ts';
import { printResult, stderr } from '../output.ts';
import { parseSpan } from './span.ts';

interface Flags {
  file: string;
  json?: boolean;
}

interface NewFlags extends Flags {
  expires?: string;
  service: string[];
}

export function tokenCommand(done: (exit: number) => void): Command {
  return new Command('token')
    .description('Makes, lists and revokes the tokens of people and agents, on the machine of the controller.')
    .addCommand(newCommand(done))
    .addCommand(listCommand(done))
    .addCommand(revokeCommand(done));
}

function withFile(command: Command): Command {
  return command.exitOverride().requiredOption('-f, --file <file>', 'understudy.yaml');
}

function newCommand(done: (exit: number) => void): Command {
  return withFile(new Command('new'))
    .description('Makes a token and shows it once; the file keeps its digest.')
    .addArgument(new Argument('<role>').choices(['viewer', 'operator', 'agent']))
    .argument('<name>', 'of the person or program; of the host for an agent')
    .option('--expires <time>', 'how long it is taken, for example 90d')
    .option('--service <name>', 'an operator may give orders about this service only; may be repeated', collect, [])
    .option('--json', '{"name", "role", "token", "expiresAt", "services"} on standard output')
    .addHelpText(
      'after',
      '\nExample:\n  understudy token new operator alice --expires 90d -f understudy.yaml >alice.token',
    )
    .action(async (role: TokenLine['role'], name: string, flags: NewFlags) => {
      const token = makeToken();
      const line = await addToken(role, name, token, flags);
      const { expiresMs, services } = line;
      const expiresAt = expiresMs === null ? null : new Date(expiresMs).toISOString();
      if (flags.json === true) printResult(`${JSON.stringify({ name, role, token, expiresAt, services })}\n`);
      else {
        stderr.say('understudy: this is the only time that this token is shown; keep it in a file of mode 0600\n');
        printResult(`${token}\n`);
      }
      done(0);
    });
}

async function addToken(
  role: TokenLine['role'],
  name: string,
  token: string,
  { file, expires, service }: NewFlags,
): Promise<TokenLine> {
  if (!isName(name)) {
    const reserved =
      name === LOCAL_NAME ? 'that of commands on this machine' : 'not letters, digits and "._@-", at most 63';
    throw new UnderstudyError('USAGE', `the name "${name}" is ${reserved}; choose another one`);
  }
  const { api, hosts, services: known } = await loadConnection(file);
  const unknown = service.find((one) => !known.includes(one));
  if (unknown !== undefined) throw new UnderstudyError('SERVICE_UNKNOWN', `${file} has no service "${unknown}"`);
  if (role === 'agent' && !hosts.includes(name))
    throw new UnderstudyError('HOST_UNKNOWN', `${file} has no host "${name}"`);
  if (role !== 'operator' && service.length > 0) {
    throw new UnderstudyError('USAGE', '--service limits an operator; a viewer may look at everything');
  }
  const expiresMs = expires === undefined ? null : Date.now() + parseSpan(expires);
  const services = service.length === 0 ? null : service;
  const line: TokenLine = { role, name, digest: digestOf(token), clear: null, expiresMs, services };
  await changeTokens(api.tokensFile, (text) => {
    const { lines } = parseTokens(api.tokensFile, text);
    if (lines.some((one) => one.name === name)) {
      const how = `revoke it first (understudy token revoke ${name}), or choose another name`;
      throw new UnderstudyError('CONFIG_INVALID', `${api.tokensFile} has a token of ${name}: ${how}`);
    }
    return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}${formatLine(line)}\n`;
  });
  return line;
}

function listCommand(done: (exit: number) => void): Command {
  return withFile(new Command('list'))
    .description('Lists the tokens, without what would let anybody in.')
    .option('--json', 'print a JSON array on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy token list -f understudy.yaml')
    .action(async ({ file, json }: Flags) => {
      const { tokensFile } = (await loadConnection(file)).api;
      const { lines, problems } = parseTokens(tokensFile, readSecret(tokensFile));
      const now = Date.now();
      const views = lines.map((line) => viewOf(line, now));
      for (const problem of problems) stderr.say(`understudy: ${problem}: this line does not count\n`);
      if (json === true) printResult(`${JSON.stringify(views)}\n`);
      for (const view of json === true ? [] : views) printResult(`${describe(view)}\n`);
      done(0);
    });
}

interface TokenView {
  readonly name: string;
  readonly role: string;
  readonly expiresAt: string | null;
  readonly services: readonly string[] | null;
  /** 'clear': the file has the token itself. */
  readonly state: 'digest' | 'clear' | 'expired';
}

function viewOf({ name, role, expiresMs, services, clear }: TokenLine, nowMs: number): TokenView {
  const expiresAt = expiresMs === null ? null : new Date(expiresMs).toISOString();
  const isOver = expiresMs !== null && expiresMs <= nowMs;
  return { name, role, expiresAt, services, state: isOver ? 'expired' : clear === null ? 'digest' : 'clear' };
}

function describe({ name, role, expiresAt, services, state }: TokenView): string {
  const until = expiresAt === null ? 'does not expire' : `${state === 'expired' ? 'expired' : 'expires'} ${expiresAt}`;
  const about = services === null ? '' : `, only ${services.join(', ')}`;
  const advice = state === 'clear' ? `; in clear text: make a new one, and revoke this one` : '';
  return `${role.padEnd(8)}  ${name}  ${until}${about}${advice}`;
}

function revokeCommand(done: (exit: number) => void): Command {
  return withFile(new Command('revoke'))
    .description('Takes a token away. A running controller refuses it at once, and ends its event streams.')
    .argument('<name>')
    .option('--json', '{"revoked"}, the number of tokens, on standard output')
    .addHelpText('after', '\nExample:\n  understudy token revoke alice -f understudy.yaml')
    .action(async (name: string, { file, json }: Flags) => {
      const { tokensFile } = (await loadConnection(file)).api;
      let revoked = 0;
      await changeTokens(tokensFile, (text) => {
        const kept = text.split('\n').filter((line) => !isOf(line, name));
        revoked = text.split('\n').length - kept.length;
        if (revoked === 0) throw new UnderstudyError('CONFIG_INVALID', `${tokensFile} has no token of "${name}"`);
        return kept.join('\n');
      });
      printResult(json === true ? `${JSON.stringify({ revoked })}\n` : `the token of ${name} is not taken any more\n`);
      done(0);
    });
}

function isOf(line: string, name: string): boolean {
  if (line.trim() === '' || line.startsWith('#')) return false;
  const parsed = parseLine(line);
  // A line that does not count any more may do so again after a change.
  return typeof parsed === 'string' ? line.trim().split(/[ \t]+/)[1] === name : parsed.name === name;
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
