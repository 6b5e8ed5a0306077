import { Command, InvalidArgumentError, Option } from 'commander';
import { UnderstudyError } from '../../base/mod.ts';
import { loadConnection } from '../../config/mod.ts';
import {
  AUTHORITY_DAYS,
  CERTIFICATE_DAYS,
  type Certificate,
  type CertificateKind,
  type Certificates,
  EXPIRY_NOTICE_DAYS,
  expiriesOf,
  expiringWithin,
  initAuthority,
  issueCertificate,
  KINDS,
  ROLES,
  readCertificates,
  renewCertificate,
  revokeCertificates,
  titlesOf,
  type UserRole,
} from '../../pki/mod.ts';
import { jsonText, printResult, stderr } from '../output.ts';

interface Flags {
  file?: string;
  folder?: string;
  authorityKey?: string;
  days?: number;
  address?: string[];
  service?: string[];
  all?: boolean;
  json?: boolean;
}

export function pkiCommand(done: (exit: number) => void): Command {
  const command = new Command('pki').description(
    'Makes a private authority and certificates for controllers, hosts and users (docs/tls.md).',
  );
  for (const one of [init(), issue(), renew(), list(), revoke()]) {
    command.addCommand(one.hook('postAction', () => done(0)));
  }
  return command;
}

function withFolder(command: Command): Command {
  return command
    .addOption(new Option('-f, --file <file>', 'understudy.yaml, whose tls.folder is meant'))
    .addOption(new Option('--folder <folder>', 'the folder of certificates').conflicts('file'))
    .option('--json', 'print one JSON object on standard output (docs/cli.md)');
}

function withSigning(command: Command, days: number): Command {
  return withFolder(command)
    .option('--authority-key <file>', 'the key of the authority, where it is not kept in the folder')
    .addOption(new Option('--days <n>', 'days until the certificate expires').default(days).argParser(wholeNumber));
}

function wholeNumber(text: string): number {
  if (/^[0-9]{1,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number of days');
}

async function folderOf({ file, folder }: Flags): Promise<string> {
  if (folder !== undefined) return folder;
  if (file === undefined) {
    throw new UnderstudyError('USAGE', 'say which folder of certificates: --folder, or -f understudy.yaml');
  }
  const { tls } = await loadConnection(file);
  if (tls === null)
    throw new UnderstudyError('USAGE', `${file} has no tls.folder: write tls, or name one with --folder`);
  return tls.folder;
}

function init(): Command {
  return withSigning(new Command('init'), AUTHORITY_DAYS)
    .description('Makes the authority: ca.crt, and its key with mode 0600, in a folder with mode 0700.')
    .addHelpText('after', '\nExample:\n  understudy pki init --folder /etc/understudy/pki')
    .action(async (flags: Flags) => {
      const made = await initAuthority({ ...flags, folder: await folderOf(flags) });
      if (flags.json === true) return void printResult(`${jsonText(viewOf(made))}\n`);
      const [authority] = made.authorities;
      printResult(`${authority?.file} is the authority until ${day(authority?.expiresMs ?? 0)}\n`);
    });
}

function issue(): Command {
  return withSigning(new Command('issue'), CERTIFICATE_DAYS)
    .description('Makes a certificate with a key of its own.')
    .argument('<kind>', KINDS.join(', '), kindOf)
    .argument('<name>', 'of the machine in understudy.yaml (tls.name), of the host, or of the user')
    .argument('[role]', `of a user: ${ROLES.join(', ')}`, roleOf)
    .option('--address <address...>', 'further DNS names and IP addresses at which a node is reached')
    .option('--service <name...>', 'an operator may give orders about these services only')
    .addHelpText(
      'after',
      '\nExamples:\n  understudy pki issue node san-a --address 10.20.0.1 --folder /etc/understudy/pki\n' +
        '  understudy pki issue user alice operator -f understudy.yaml',
    )
    .action(async (kind: CertificateKind, name: string, role: UserRole | undefined, flags: Flags) => {
      if ((kind === 'user') !== (role !== undefined)) {
        const what = kind === 'user' ? `a user needs a role: ${ROLES.join(' or ')}` : `a ${kind} has no role`;
        throw new UnderstudyError('USAGE', what);
      }
      if (kind !== 'node' && flags.address !== undefined) {
        throw new UnderstudyError('USAGE', `--address is for a node: nobody connects to a ${kind}`);
      }
      if (role !== 'operator' && flags.service !== undefined) {
        throw new UnderstudyError('USAGE', '--service limits an operator; a viewer may look at everything');
      }
      const { address: addresses = [], service: services = null, days, authorityKey } = flags;
      const signer = { folder: await folderOf(flags), days, authorityKey };
      const subject = { kind, name, role: role ?? null, services };
      tell([await issueCertificate({ ...signer, subject, addresses })], flags);
    });
}

function kindOf(text: string): CertificateKind {
  const kind = KINDS.find((one) => one === text);
  if (kind !== undefined) return kind;
  throw new InvalidArgumentError(`${KINDS.join(', ')}`);
}

function roleOf(text: string): UserRole {
  const role = ROLES.find((one) => one === text);
  if (role !== undefined) return role;
  throw new InvalidArgumentError(`${ROLES.join(', ')}`);
}

function renew(): Command {
  return withSigning(new Command('renew'), CERTIFICATE_DAYS)
    .description(
      `Renews certificates, whose keys stay: those that are named, or else those that expire within ${EXPIRY_NOTICE_DAYS} days.`,
    )
    .argument('[name...]', 'names, or titles as "list" shows them: web1, host-web1')
    .option('--all', 'renew all that are not revoked')
    .addHelpText('after', '\nExample:\n  understudy pki renew -f understudy.yaml --authority-key /media/stick/ca.key')
    .action(async (names: readonly string[], flags: Flags) => {
      const { days, authorityKey } = flags;
      const folder = await folderOf(flags);
      const all = await readCertificates(folder);
      const renewed: Certificate[] = [];
      for (const one of chosen(all, names, flags.all === true)) {
        renewed.push(await renewCertificate(one, { folder, days, authorityKey }));
      }
      tell(renewed, flags);
      if (renewed.length === 0) stderr.say(`understudy: nothing expires within ${EXPIRY_NOTICE_DAYS} days\n`);
    });
}

function chosen(all: Certificates, names: readonly string[], everything: boolean): readonly Certificate[] {
  if (names.length === 0)
    return expiringWithin(all, everything ? Number.POSITIVE_INFINITY : EXPIRY_NOTICE_DAYS, Date.now());
  const titles = names.flatMap((name) => single(name, titlesOf(all, name)));
  return all.certificates.filter(({ title }) => titles.includes(title));
}

/** @throws CERTIFICATE_UNKNOWN, USAGE */
function single(name: string, titles: readonly string[]): string {
  const [title, ...others] = titles;
  if (title === undefined) throw new UnderstudyError('CERTIFICATE_UNKNOWN', `there is no certificate of "${name}"`);
  if (others.length === 0) return title;
  throw new UnderstudyError('USAGE', `"${name}" has several certificates: say ${titles.join(' or ')}`);
}

function list(): Command {
  return withFolder(new Command('list'))
    .description('Shows all certificates of the folder, with the date on which each expires.')
    .addHelpText('after', '\nExample:\n  understudy pki list -f understudy.yaml')
    .action(async (flags: Flags) => {
      const all = await readCertificates(await folderOf(flags));
      printResult(flags.json === true ? `${jsonText(viewOf(all))}\n` : describe(all));
      for (const problem of all.problems) stderr.say(`understudy: ${problem}\n`);
    });
}

function revoke(): Command {
  return withFolder(new Command('revoke'))
    .description(
      'Withdraws all that was issued under a name. Takes effect at once, without a restart and without the authority.',
    )
    .argument('<name>', 'a name, or a title as "list" shows it: web1, host-web1')
    .addHelpText('after', '\nExample:\n  understudy pki revoke user-alice -f understudy.yaml')
    .action(async (name: string, flags: Flags) => {
      const folder = await folderOf(flags);
      const all = await readCertificates(folder);
      const title = single(name, titlesOf(all, name));
      const serials = await revokeCertificates(folder, title, Date.now());
      const text = serials.length === 0 ? 'was revoked before' : `is revoked: ${serials.join(', ')}`;
      printResult(flags.json === true ? `${jsonText({ title, serials })}\n` : `${title} ${text}\n`);
    });
}

function tell(certificates: readonly Certificate[], { json }: Flags): void {
  if (json === true) {
    printResult(`${jsonText({ certificates: certificates.map((one) => certificateView(one)) })}\n`);
    return;
  }
  for (const { title, file, expiresMs } of certificates) printResult(`${title} until ${day(expiresMs)}: ${file}\n`);
}

function certificateView(one: Certificate) {
  const { title, kind, name, role, services = null, serial, addresses, file, hasKey } = one;
  const expiresAt = new Date(one.expiresMs).toISOString();
  return { title, kind, name, role, services, serial, addresses, file, hasKey, expiresAt, state: stateOf(one) };
}

function stateOf(one: Certificate): string {
  if (one.revoked) return 'revoked';
  return expiriesOf({ authorities: [], certificates: [one] }, Date.now())[0]?.state ?? 'valid';
}

function viewOf({ folder, authorities, certificates, problems }: Certificates) {
  return {
    folder,
    authorities: authorities.map(({ file, expiresMs }) => ({ file, expiresAt: new Date(expiresMs).toISOString() })),
    certificates: certificates.map((one) => certificateView(one)),
    problems,
  };
}

function describe({ authorities, certificates }: Certificates): string {
  const rows = certificates.map((one) => {
    const limits = one.services == null ? '' : `, only ${one.services.join(', ')}`;
    const part = one.role === null ? one.addresses.join(' ') : `${one.role}${limits}`;
    return [one.title.padEnd(24), day(one.expiresMs), stateOf(one).padEnd(8), part].join('  ').trimEnd();
  });
  const heads = authorities.map(({ expiresMs }) => `${'authority'.padEnd(24)}  ${day(expiresMs)}`);
  return `${[...heads, ...rows].join('\n')}\n`;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
