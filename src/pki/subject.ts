// Subjects: `O=understudy, OU=node|host|user, CN=NAME`; a user's role stands in a second OU (`OU=role:operator`). The
// parts are read one by one and exactly: a subject with anything else in it is not one of ours.
import { UnderstudyError } from '../base/mod.ts';
import { type CertificateKind, KINDS, ROLES, type Subject, type UserRole } from './contract.ts';

export const ORGANIZATION = 'understudy';
const ROLE = 'role:';

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
export function subjectOption({ kind, name, role }: Subject): string {
  return `/O=${ORGANIZATION}/OU=${kind}${role === null ? '' : `/OU=${ROLE}${role}`}/CN=${name}`;
}

/** RFC 4514: the last part first. */
export function distinguishedNameOf({ kind, name, role }: Subject): string {
  return `CN=${name},${role === null ? '' : `OU=${ROLE}${role},`}OU=${kind},O=${ORGANIZATION}`;
}

/** @param text of X509Certificate.subject, one part a line. @returns null when it is not a subject of ours */
export function parseSubject(text: string): Subject | null {
  const lines = text.split('\n');
  const values = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  const [organization, units, [name = '', ...otherNames]] = [values('O'), values('OU'), values('CN')];
  const [unit = '', role, ...otherUnits] = units;
  if (lines.length !== 2 + units.length || otherNames.length > 0 || otherUnits.length > 0) return null;
  if (organization.length !== 1 || organization[0] !== ORGANIZATION) return null;
  const kind = KINDS.find((one) => one === unit);
  if (kind === undefined || !isNameOf(kind, name)) return null;
  if (kind !== 'user') return role === undefined ? { kind, name, role: null } : null;
  const known = ROLES.find((one): one is UserRole => `${ROLE}${one}` === role);
  return known === undefined ? null : { kind, name, role: known };
}
