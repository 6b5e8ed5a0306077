// Subjects: `O=understudy, OU=node|host|user, CN=NAME`; a user's role stands in a second OU (`OU=role:operator`), the
// services to which an operator is limited in further ones (`OU=service:wiki`). The parts are read one by one and
// exactly: a subject with anything else in it is not one of ours.
import { UnderstudyError } from '../base/mod.ts';
import { type CertificateKind, KINDS, ROLES, type Subject, type UserRole } from './contract.ts';

export const ORGANIZATION = 'understudy';
const ROLE = 'role:';
const SERVICE = 'service:';
/** With the prefix at most 64 characters, as RFC 5280 has it for an organizational unit. */
const SERVICE_NAME = /^[a-z0-9][a-z0-9-]{0,55}$/;

/**
 * Nodes and hosts have DNS labels with dots between; users may be mail addresses. A common name has at most 64
 * characters (RFC 5280).
 */
const MACHINE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const USER = /^[A-Za-z0-9][A-Za-z0-9._@-]*$/;
const NAME_LENGTH_MAX = 63;

export function isNameOf(kind: CertificateKind, name: string): boolean {
  return name.length <= NAME_LENGTH_MAX && (kind === 'user' ? USER : MACHINE).test(name);
}

/** @throws USAGE */
export function checkName(kind: CertificateKind, name: string): void {
  if (isNameOf(kind, name)) return;
  const allowed = kind === 'user' ? 'letters, digits and "._@-"' : 'lower-case letters, digits, "-" and "."';
  throw new UnderstudyError('USAGE', `"${name.slice(0, 100)}" is not the name of a ${kind}: ${allowed}, at most 63`);
}

/** @throws USAGE for a name that no certificate can hold */
export function checkServices(services: readonly string[]): void {
  const wrong = services.find((name) => !SERVICE_NAME.test(name));
  if (wrong === undefined) return;
  const allowed = 'lower-case letters, digits and "-", at most 56';
  throw new UnderstudyError(
    'USAGE',
    `"${wrong.slice(0, 100)}" is not a service that a certificate can name: ${allowed}`,
  );
}

/** "host-web1": how certificates are called in messages, lists and file names. */
export function titleOf({ kind, name }: Pick<Subject, 'kind' | 'name'>): string {
  return `${kind}-${name}`;
}

/** Kind and name that a title means; null for any other text. */
export function subjectOfTitle(title: string): Pick<Subject, 'kind' | 'name'> | null {
  const kind = KINDS.find((one) => title.startsWith(`${one}-`));
  if (kind === undefined) return null;
  const name = title.slice(kind.length + 1);
  return isNameOf(kind, name) ? { kind, name } : null;
}

/** For openssl(1), option -subj. Names have no "/", "+" or "\", which mean something there. */
export function subjectOption(subject: Subject): string {
  const units = unitsOf(subject).map((unit) => `/OU=${unit}`);
  return `/O=${ORGANIZATION}${units.join('')}/CN=${subject.name}`;
}

function unitsOf({ kind, role, services }: Subject): readonly string[] {
  const limits = (services ?? []).map((name) => `${SERVICE}${name}`);
  return [kind, ...(role === null ? [] : [`${ROLE}${role}`]), ...limits];
}

/**
 * As GnuTLS in QEMU writes it, which `authz-simple` compares: in the order of the certificate, not in that of RFC 4514.
 * Names and units have no character that would be escaped.
 */
export function distinguishedNameOf(subject: Subject): string {
  const units = unitsOf(subject).map((unit) => `OU=${unit},`);
  return `O=${ORGANIZATION},${units.join('')}CN=${subject.name}`;
}

/** @param text of X509Certificate.subject, one part a line. @returns null when it is not a subject of ours */
export function parseSubject(text: string): Subject | null {
  const lines = text.split('\n');
  const values = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  const [organization, units, [name = '', ...otherNames]] = [values('O'), values('OU'), values('CN')];
  const [unit = '', role, ...limits] = units;
  if (lines.length !== 2 + units.length || otherNames.length > 0) return null;
  if (organization.length !== 1 || organization[0] !== ORGANIZATION) return null;
  const kind = KINDS.find((one) => one === unit);
  if (kind === undefined || !isNameOf(kind, name)) return null;
  if (kind !== 'user') return role === undefined ? { kind, name, role: null } : null;
  const known = ROLES.find((one): one is UserRole => `${ROLE}${one}` === role);
  if (known === undefined) return null;
  if (limits.length === 0) return { kind, name, role: known };
  const services = limits.map((limit) => (limit.startsWith(SERVICE) ? limit.slice(SERVICE.length) : ''));
  return known === 'operator' && services.every((one) => SERVICE_NAME.test(one))
    ? { kind, name, role: known, services }
    : null;
}
