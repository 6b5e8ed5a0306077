// What the system of an image starts by itself: every way that is known, each entry followed to the program that it
// runs. It is read from files alone, so it errs on the side of more: a unit counts as started even if a condition
// would keep it from starting.
import type { FileTree } from '../tree/mod.ts';

export type Way =
  | 'systemd'
  | 'systemd user'
  | 'sysv'
  | 'openrc'
  | 'inittab'
  | 'upstart'
  | 'rc.local'
  | 'cron'
  | 'udev'
  | 'ifupdown'
  | 'hook'
  | 'inetd'
  | 'supervisor'
  | 'kernel command line'
  | 'container';

/** Why something starts. */
export type Cause =
  /** A link or a file whose existence starts it. */
  | { readonly kind: 'link'; readonly path: string }
  /** Another unit or service that is started; `needs`: that one fails without it. */
  | { readonly kind: 'unit'; readonly path: string; readonly unit: string; readonly needs: boolean }
  /** A file that says so in its text, or that is run because of where it lies. */
  | { readonly kind: 'file'; readonly path: string };

/** The programs of some commands, as far as their text tells. */
export interface Runs {
  /** The text of the commands, specifiers and variables replaced as far as possible. */
  readonly text: string;
  /** Programs, as they are named: an absolute path, or a word that is looked for in the PATH. */
  readonly programs: readonly string[];
  /** What scripts among these programs run in turn. Bare words too; some are functions or arguments. */
  readonly through: readonly string[];
  /** The texts of those scripts. */
  readonly scripts: readonly string[];
}

export interface Start extends Runs {
  readonly way: Way;
  /** "keepalived.service", "S01keepalived", "rc.local". */
  readonly name: string;
  /** By which the same thing is known as well: aliases. Without `name`. */
  readonly aliases: readonly string[];
  /** At least one. */
  readonly by: readonly Cause[];
  /** The file that says what is run: a unit, a script, a table; null when there is none. Canonical. */
  readonly file: string | null;
  /** In that file, from 1; null: the file as a whole. */
  readonly line: number | null;
  /** For the ways of systemd: the folder of the administrator's units of its manager. */
  readonly folder?: string;
  /** What the same place says now, in a tree that has changed. Absent: only `by` counts. */
  readonly again?: (tree: FileTree) => Promise<readonly Start[]>;
}

export interface StartGraph {
  /** In the order in which the ways are listed, then by name. */
  readonly starts: readonly Start[];
  /** Why some of it may be missing; empty when nothing is. */
  readonly cut: readonly string[];
}

/** One way in which a system starts things. */
export type Reader = (tree: FileTree, cut: (why: string) => void) => Promise<readonly Start[]>;
