// What a folder of certificates holds. The folder is plain PEM (RFC 7468), so that every other program can use it:
//
//   ca.crt                  the authority; more than one while an authority is replaced
//   ca.key                  its key, which may be kept elsewhere
//   KIND-NAME.crt, .key     certificates and their keys: node-san-a.crt, host-web1.crt, user-alice.crt
//   issued, revoked         lists, one certificate a line

/** Who may have a certificate: machines that serve, hosts with their agents, and people. */
export const KINDS = ['node', 'host', 'user'] as const;
export type CertificateKind = (typeof KINDS)[number];

/** What a user may do; as with tokens, an operator may do what a viewer may. */
export const ROLES = ['viewer', 'operator'] as const;
export type UserRole = (typeof ROLES)[number];

/** Whose certificate it is, as its subject says. */
export interface Subject {
  readonly kind: CertificateKind;
  readonly name: string;
  /** Users have one; null for nodes and hosts. */
  readonly role: UserRole | null;
  /** An operator may give orders about these only. @default all */
  readonly services?: readonly string[] | null;
}

export interface Dated {
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number;
  /** Milliseconds since 1970: after this nobody accepts it. */
  readonly expiresMs: number;
}

export interface Authority extends Dated {
  readonly file: string;
  readonly pem: string;
}

export interface Certificate extends Subject, Dated {
  /** Lower-case hexadecimal digits, without leading zeros. */
  readonly serial: string;
  /** As GnuTLS in QEMU writes and compares it: "O=understudy,OU=host,CN=web1". */
  readonly distinguishedName: string;
  /** Names and addresses that it vouches for, as they were asked for: "san-a", "10.20.0.1". */
  readonly addresses: readonly string[];
  /** "host-web1", which is also how the files are called. */
  readonly title: string;
  readonly file: string;
  readonly keyFile: string;
  /** Its key is in the folder too. */
  readonly hasKey: boolean;
  readonly pem: string;
  readonly revoked: boolean;
}

export interface Certificates {
  /** Absolute path. */
  readonly folder: string;
  /** The content of ca.crt: what the other side is checked with. */
  readonly authorityPem: string;
  /** At least one; the first is the one that issues. */
  readonly authorities: readonly Authority[];
  /** By kind, then name. */
  readonly certificates: readonly Certificate[];
  /** Titles of all for whom a certificate was ever issued, also where no file is left. */
  readonly issued: ReadonlySet<string>;
  /** Serial numbers that are not accepted any more. */
  readonly revoked: ReadonlySet<string>;
  /** One line for each file that cannot be used and why, for people. */
  readonly problems: readonly string[];
}

/** A certificate with its key, for one side of a connection. */
export interface KeyPair {
  readonly certificate: Certificate;
  /** PEM. */
  readonly key: string;
}
