// What a rule is: one kind of thing that must not exist twice. It finds it in an image, says what becomes of it, and
// proves afterwards that it is so. One file each in this folder; users' own will be rules like these, made from YAML.
//
// Rules see the image as a tree that can only be read, and answer with edits; nothing of a rule ever writes. So they
// can be tested on trees in memory, and combined: each sees the tree with the edits of the rules before it.

import type { Finding, HostIdentity, Plan } from '../contract.ts';
import type { Correspondence } from '../correspondence.ts';
import type { FileTree } from '../tree/mod.ts';

export interface FindContext {
  /** null: nobody said whose image it is; then what is there is reported, whoever's it is. */
  readonly lead: HostIdentity | null;
  /** null: nobody is to take its part; the image is only looked at. */
  readonly understudy: HostIdentity | null;
  /** Canonical paths in which rules before this one found something. Empty when the tree has their edits. */
  readonly claimed: ReadonlySet<string>;
  /** Paths that rules before this one have said something about, whether or not the tree has their edits. */
  readonly found?: ReadonlySet<string>;
  /** What takes the place of what, as the image was before any rule. Absent: nobody has looked at its network. */
  readonly correspondence?: Correspondence;
  /** Names of devices mean nothing on the other host. */
  readonly otherHardware?: boolean;
  /** Commands can be run in the image. */
  readonly canRun?: boolean;
}

export interface ChangeContext {
  readonly lead: HostIdentity;
  readonly understudy: HostIdentity;
  readonly correspondence: Correspondence;
  readonly otherHardware?: boolean;
  readonly canRun?: boolean;
  readonly makers: Makers;
}

/** Programs that own a format and make new content of it; rules that need more of them add them here. */
export interface Makers {
  /** Begins with a key that will be asked for: some take a second, in which other rules can look. Never throws. */
  foresee(spec: SshKeySpec): void;
  /**
   * A new SSH host key as ssh-keygen(1) writes it, never the same one twice. @throws TOOL_MISSING, IDENTITY_FAILED,
   * INTERRUPTED
   */
  sshHostKey(spec: SshKeySpec): Promise<SshKeyPair>;
}

export interface SshKeySpec {
  readonly type: 'rsa' | 'ecdsa' | 'ed25519' | 'dsa';
  /** Curve size of ecdsa (256, 384, 521); others have their default. */
  readonly bits: number | null;
  readonly comment: string;
}

export interface SshKeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/**
 * Paths as rules know them, links in them followed inside the image, but for the last component of a link's own path.
 */
export type Edit =
  | {
      readonly kind: 'write';
      readonly path: string;
      readonly text: string;
      /** Permission bits, owner then root. Absent: as it was; 0644 and root for a new file. */
      readonly mode?: number;
      /** Never shown. */
      readonly secret?: boolean;
      /** Another one in every plan. */
      readonly fresh?: boolean;
      /** Its folder is made as well if the one above is there. Otherwise nothing is written without its folder. */
      readonly makesFolder?: boolean;
    }
  /** Becomes what another file is, of whatever size and content; that one stays. */
  | { readonly kind: 'copy'; readonly path: string; readonly from: string }
  /** A symbolic link in place of whatever file or link has this name. */
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  /** A file, link or folder gets another name in its folder; nothing there is no error. */
  | { readonly kind: 'rename'; readonly path: string; readonly name: string }
  /** A folder loses the files and links that are anywhere below it. */
  | { readonly kind: 'empty'; readonly path: string; readonly secret?: boolean }
  /** A file or a link is gone; nothing there is no error. */
  | { readonly kind: 'remove'; readonly path: string; readonly secret?: boolean };

/** What is run in the image for a finding: until what the finding is about has become something else. */
export interface RuleCommand {
  /** Absolute inside the image: the file that it makes anew, or removes. */
  readonly path: string;
  /** The program as the image knows it, and its arguments. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

export interface VerifyContext {
  readonly lead: HostIdentity;
  readonly understudy: HostIdentity;
  readonly correspondence: Correspondence;
  readonly proof: Plan['proof'];
  readonly otherHardware?: boolean;
  readonly canRun?: boolean;
  /** What the plan said, with its 'keep' and 'unknown', which are there still. */
  readonly findings: readonly Finding[];
}

export interface Rule {
  /** Lower case with dashes; stable: configurations name it to accept its unknowns. */
  readonly name: string;
  /** Everything of its kind, in an order that depends on the image only. Never throws for what an image holds. */
  find(tree: FileTree, context: FindContext): Promise<readonly Finding[]>;
  /** Before any rule has its turn. Absent: it makes nothing that takes long. Never throws for what an image holds. */
  prepare?(tree: FileTree, context: ChangeContext): Promise<void>;
  /**
   * For each of its findings whose action is 'rewrite', 'regenerate' or 'disable', in order, the tree having all edits
   * before. Nothing to do is no edit. The same tree and hosts give the same edits, but for what is `fresh`.
   */
  change(finding: Finding, tree: FileTree, context: ChangeContext): Promise<readonly Edit[]>;
  /** For the same findings, after `change`. Absent: nothing is ever run. */
  commands?(finding: Finding, tree: FileTree, context: ChangeContext): Promise<readonly RuleCommand[]>;
  /** After applying: what of the new is missing, what of the old is left, one line each. Nothing: all is well. */
  verify(tree: FileTree, context: VerifyContext): Promise<readonly string[]>;
}
