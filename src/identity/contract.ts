// Identity: what a disk image says about who it is, the plan that changes it, and the proof that it has changed.
// Seed rows P4, P5, P8, P11, P26.

export interface InterfaceIdentity {
  /** As the kernel names it in the guest: "eth0". */
  readonly name: string;
  /** '': nobody knows it. */
  readonly mac: string;
  /** CIDR: "10.0.0.12/24". */
  readonly addresses: readonly string[];
  /** Absent: no default route through this interface. */
  readonly gateway?: string;
}

/** Who a host is. Everything here exists once among hosts that are powered on (invariant 3). */
export interface HostIdentity {
  /** Without domain, RFC 1123 label. */
  readonly hostName: string;
  readonly domain?: string;
  readonly interfaces: readonly InterfaceIdentity[];
  /** What the host's agent is called and shows to the controller. Absent: an agent in the image is disabled. */
  readonly agent?: AgentIdentity;
}

/** It shows a token or a certificate, never those of another host. */
export interface AgentIdentity {
  readonly host: string;
  readonly controller: string;
  readonly token?: string;
  readonly certificate?: AgentCertificate;
}

/** PEM. */
export interface AgentCertificate {
  readonly cert: string;
  readonly key: string;
}

export type Action = 'rewrite' | 'regenerate' | 'disable' | 'keep' | 'unknown';

export interface Finding {
  /** The rule's name: "machine-id". */
  readonly rule: string;
  /** Absolute path inside the image. */
  readonly path: string;
  /** What is there, on one line; "(secret)" for secrets, never their value. */
  readonly value: string;
  /** Why it must not exist twice. */
  readonly why: string;
  readonly action: Action;
  readonly confidence: 'certain' | 'likely' | 'guess';
}

/** What of an image was looked into: what is not in the findings is only absent where this says so. */
export interface Coverage {
  /** Files and links with a name that was seen. */
  readonly files: number;
  /** Texts in which every value of the lead was looked for. */
  readonly filesRead: number;
  readonly bytesRead: number;
  /** Files and folders in which a rule found something. */
  readonly filesExplained: number;
  /** In the order of their paths. */
  readonly notSearched: readonly Omission[];
  /** Everything was searched but for what is never searched: nothing was cut short, unreadable or left out. */
  readonly isComplete: boolean;
}

/** A place that was not searched. */
export interface Omission {
  readonly path: string;
  /** One clause. */
  readonly why: string;
  /** How many files are there; absent where it is not known. */
  readonly files?: number | undefined;
  /** Nothing is ever looked for there; otherwise the search could not do it. */
  readonly isIntended: boolean;
}

/** Something that the system of the image starts by itself. */
export interface StartEntry {
  /** "systemd", "systemd user", "sysv", "openrc", "cron", "rc.local" and others; "not read" for what could not be. */
  readonly way: string;
  /** "keepalived.service", "rc.local"; units of users after the name of the user. */
  readonly name: string;
  /** Absolute path inside the image: the file that says what runs, or else the link that starts it. */
  readonly path: string;
  /** From 1; null: the file as a whole. */
  readonly line: number | null;
  /** Without arguments. */
  readonly programs: readonly string[];
  /**
   * "rule cron", "package openssh-server", "system sshd" (by its name alone); null: nothing knows whether it may exist
   * twice.
   */
  readonly knownBy: string | null;
}

export interface Inspection {
  readonly os: { readonly id: string; readonly version: string; readonly arch: string };
  readonly findings: readonly Finding[];
  /** By way, then by name. */
  readonly starts: readonly StartEntry[];
  /** Absent: nobody searched. */
  readonly coverage?: Coverage | undefined;
}

/** What somebody decided to leave as it is, although a rule would change it or ask. */
export interface Kept {
  /** A rule's name. */
  readonly rule: string;
  /** Absolute inside the image. Absent: whatever the rule finds. */
  readonly path?: string | undefined;
  readonly because: string;
}

/** One file or link of the image, before and after. Ordered by path in a plan; never two for one path. */
export interface FileChange {
  /**
   * Absolute inside the image, and canonical: nothing in it is a symbolic link, except its end when `kind` is 'link'.
   */
  readonly path: string;
  readonly rule: string;
  /**
   * What is written, or else removed: a file, or a symbolic link, whose text is what it leads to. May take the other's
   * place. Or a folder that loses all files below it.
   */
  readonly kind: 'file' | 'link' | 'folder';
  /** For people; null: nothing is there. "(secret)" for secrets, "(binary, N bytes)" for what is no text. */
  readonly before: string | null;
  /**
   * SHA-256 of what is there (bytes, the link's text, or names and sizes of files), hexadecimal; null: nothing. `apply`
   * changes nothing else.
   */
  readonly beforeDigest: string | null;
  /**
   * Absolute inside the image, and canonical: `after` is not its text but what makes it known, the digest of this
   * file's bytes.
   */
  readonly copyOf?: string;
  /** null: it will not exist. Secrets are in clear here, and "(secret)" in what `show` makes of it. */
  readonly after: string | null;
  readonly secret: boolean;
  /** Made anew for each plan, as keys are: `after` does not count for the plan's fingerprint. */
  readonly fresh: boolean;
  /** Octal permission bits; owner root. null: as it was; 0644 and root for a new file. */
  readonly mode: number | null;
}

/** A file, link or folder of the image that gets another name in its folder, because the old one is the lead's. */
export interface PlannedRename {
  readonly rule: string;
  /** Both absolute inside the image and canonical, as the renames before this one leave it. */
  readonly from: string;
  readonly to: string;
}

/**
 * A program of the image that is run in it, after all changes, because it alone knows how to make new what was found.
 */
export interface PlannedCommand {
  readonly rule: string;
  /** Absolute inside the image: what it is to make anew, or to remove. */
  readonly path: string;
  /** SHA-256 of what may be there before it has run, hexadecimal: as found, and as other changes leave it. */
  readonly before: readonly string[];
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Holds new private keys and tokens in clear: keep it as one keeps those. It is JSON through and through. */
export interface Plan {
  /** SHA-256 over changes and findings, without what is fresh: the same image and request give the same. */
  readonly fingerprint: string;
  readonly changes: readonly FileChange[];
  readonly findings: readonly Finding[];
  /** Findings whose action is 'unknown': they stop an automatic clone unless accepted. */
  readonly unknown: readonly Finding[];
  /** Absent: nobody searched. No part of the fingerprint. */
  readonly coverage?: Coverage | undefined;
  /** The root is to fill the disk. */
  readonly grow?: boolean;
  /** Before the changes, whose paths are those afterwards; in this order. Absent: none. */
  readonly renames?: readonly PlannedRename[];
  /** Who the image is, where that is not the lead: it was personalised before. */
  readonly startsFrom?: HostIdentity;
  /** In this order. Absent: none. They need the engine's `kernelMount`. */
  readonly commands?: readonly PlannedCommand[];
  /**
   * SSH host key fingerprints ("SHA256:...", sorted) and machine-id that the replica will have: what "prove" compares.
   */
  readonly proof: { readonly sshHostKeys: readonly string[]; readonly machineId: string };
}

export interface IdentityRequest {
  /** Whose image it is: what has to disappear. */
  readonly lead: HostIdentity;
  readonly understudy: HostIdentity;
  /** The hosts have other disks and cards: names of devices mean nothing on the other one. @default false */
  readonly otherHardware?: boolean;
  /**
   * The image is the understudy's own system, with files of the lead in it: its identity stays, and is verified.
   * @default false
   */
  readonly keepsOwn?: boolean;
  /**
   * The image is the lead's disk as it is, so that what it says of having been personalised is no more than what the
   * lead says of itself. @default false
   */
  readonly isLeadsCopy?: boolean;
  /** The disk is larger than the lead's: its last partition and the root in it are to fill it. @default false */
  readonly grow?: boolean;
}

/** A part of the lead's files for a host that keeps a system and an identity of its own. */
export interface TransplantRequest {
  /** null: who the images say. */
  readonly lead: HostIdentity | null;
  readonly understudy: HostIdentity | null;
  /** Absolute paths of files and folders of the lead. */
  readonly portion: readonly string[];
  /** Unknown findings that are accepted: "RULE:PATH", or "RULE" for what it finds at one path (accept.ts). */
  readonly accept: readonly string[];
  /** Otherwise it is only looked at. */
  readonly apply: boolean;
}

export interface Transplant {
  readonly files: number;
  readonly folders: number;
  readonly bytes: number;
  /** Entries that differ before: what is or would be written, and what is or would be removed. */
  readonly written: number;
  readonly removed: number;
  /** Devices, sockets and pipes, which stay with the lead. */
  readonly skipped: readonly string[];
  /** What in the portion names the lead. */
  readonly findings: readonly Finding[];
  readonly applied: boolean;
}

export interface Verification {
  readonly verified: boolean;
  /** What of the new is missing and what of the old is left, one line each; empty when verified. */
  readonly problems: readonly string[];
}

/** Questions to an image that is open. */
export interface OpenedImage {
  inspect(lead: HostIdentity | null): Promise<Inspection>;
  identify(): Promise<HostIdentity>;
  plan(request: IdentityRequest): Promise<Plan>;
}

/**
 * All methods take a raw image or block device that nobody has mounted or attached, or the NBD URI of such
 * (nbd+unix:///NAME?socket=PATH, nbd://HOST:PORT/NAME; not for changes); one at a time for an image. Images are hostile
 * input.
 * @throws IMAGE_UNSUPPORTED (no file system that can be edited), IMAGE_DAMAGED, IDENTITY_FAILED, TOOL_MISSING,
 *   INTERRUPTED
 */
export interface IdentityEngine {
  /**
   * Opens an image once for several of the next three questions: a dirty journal is replayed once. Good until `use` has
   * ended.
   */
  reading<T>(image: string, signal: AbortSignal, use: (opened: OpenedImage) => Promise<T>): Promise<T>;
  /** Reads only; a dirty journal is replayed in a private overlay. */
  inspect(image: string, lead: HostIdentity | null, signal: AbortSignal): Promise<Inspection>;
  /**
   * Who the host is, as far as its image tells: the lead of a request when nobody else says it. Reads only.
   * @throws IDENTITY_FAILED when it has no name or no address of its own
   */
  identify(image: string, signal: AbortSignal): Promise<HostIdentity>;
  /** Reads only. Deterministic, except for keys, which are made once for a plan. */
  plan(image: string, request: IdentityRequest, signal: AbortSignal): Promise<Plan>;
  /**
   * Writes the image: all of the plan, durably, or nothing (a call after a crash finishes what had begun). Doing it
   * again changes nothing more. IDENTITY_FAILED also when the image has changed since it was planned for.
   */
  apply(image: string, plan: Plan, signal: AbortSignal): Promise<void>;
  /**
   * Copies a portion of one image's files into the file system of another, so that it has what the lead has in these
   * places and nothing else there; owners by name. `from` is only read. All of it, durably, or nothing, as with
   * `apply`.
   * @throws also IDENTITY_UNKNOWN: something in the portion has an address of the lead, and nobody accepted that
   */
  transplant(from: string, to: string, request: TransplantRequest, signal: AbortSignal): Promise<Transplant>;
  /** Inspects again: the new identity is found, and the old is found nowhere that the rules look. */
  verify(image: string, request: IdentityRequest, plan: Plan, signal: AbortSignal): Promise<Verification>;
  /** Unified diffs and actions, for people; secrets are not in it, nor anything that a terminal would obey. */
  show(plan: Plan): string;
}
