// What rules see of an image: its files as a tree that can only be read. Whatever is behind it (an ext4 reader, memory,
// later a mounted file system) gives nodes by canonical path; the one place that follows symbolic links is
// file-tree.ts.

export type EntryKind = 'file' | 'folder' | 'link' | 'other';

export interface ExtendedAttribute {
  /** With its prefix: "security.selinux". */
  readonly name: string;
  /** As it is stored. */
  readonly value: Buffer;
}

export interface Entry {
  /** Absolute and canonical: no component but the last can be a symbolic link. */
  readonly path: string;
  readonly kind: EntryKind;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Names that this file has. */
  readonly links: number;
  /** What a link leads to; null for all others. */
  readonly target: string | null;
}

/** A file system that is mounted in another one's tree. */
export interface Attached {
  /** Canonical path. */
  readonly at: string;
  /** "ext", "fat", "xfs", "btrfs". */
  readonly type: string;
  readonly uuid: string | undefined;
  /** The line of fstab(5) that says so, as it stands there; '': the system does it by itself. */
  readonly line: string;
}

/** What of its disk a system uses beside its root. */
export interface DiskUse {
  readonly attached: readonly Attached[];
  /** Room to swap, by the lines of fstab(5) for it. */
  readonly swaps: readonly { readonly line: string; readonly uuid: string }[];
  /**
   * What else is there that nobody looked into. `type` as of what is attached; '': something else. `text`: one clause.
   */
  readonly unread: readonly { readonly type: string; readonly text: string }[];
}

/**
 * Nodes by canonical path. Bytes of names that are no UTF-8 are lone surrogates (name-bytes.ts).
 * @throws IMAGE_DAMAGED when what is read contradicts itself, IMAGE_UNSUPPORTED, INTERRUPTED
 */
export interface NodeTree {
  /** Of the file system that it is; absent where there is none. */
  readonly uuid?: string | undefined;
  /** Absent: nobody knows of a disk. */
  readonly disk?: DiskUse;
  /** null: nothing has this name. */
  entry(path: string): Promise<Entry | null>;
  /**
   * Names in a folder without "." and "..", in order of their code units. @throws IMAGE_UNSUPPORTED when there are too
   * many
   */
  names(path: string): Promise<readonly string[]>;
  /**
   * All nodes in a folder, in the order of their names. Absent: `names` and `entry` say the same, one after the other.
   */
  entries?(path: string): Promise<readonly Entry[]>;
  /** The first bytes of a regular file. */
  bytes(path: string, bytesMax: number): Promise<Buffer>;
}

/** A file system of an image, with what copying its files takes. */
export interface ImageTree extends NodeTree {
  /** All of a file in pieces; nothing when it is none. */
  pieces(path: string): AsyncGenerator<Buffer>;
  /** When what has this name changed last, seconds since 1970; 0 when nothing has. */
  modified(path: string): Promise<number>;
  /** Without what the file system makes up by itself. */
  attributes(path: string): Promise<readonly ExtendedAttribute[]>;
}

/** What a path leads to, and what is there. */
export interface Place {
  readonly path: string;
  readonly entry: Entry | null;
}

/** Paths are absolute; links are followed inside the image, ".." of the root being the root. */
export interface FileTree {
  /** What it follows paths in. */
  readonly nodes: NodeTree;
  /** Of the file system that it is; null where nobody knows. */
  readonly uuid: string | null;
  readonly disk: DiskUse;
  /** What a path leads to in the end; null: nothing, also for links that lead nowhere. */
  stat(path: string): Promise<Entry | null>;
  /** The same, without following a link at the end of the path. */
  lstat(path: string): Promise<Entry | null>;
  /** Where a file of this name lies, or would be made; null when not even its folder exists. */
  place(path: string): Promise<Place | null>;
  /** Sorted names; none when it is no folder. */
  list(path: string): Promise<readonly string[]>;
  /** The first bytes of a regular file; null when it is none. */
  read(path: string, bytesMax: number): Promise<Buffer | null>;
}
