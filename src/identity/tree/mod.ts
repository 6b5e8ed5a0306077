export type {
  Attached,
  DiskUse,
  Entry,
  EntryKind,
  ExtendedAttribute,
  FileTree,
  ImageTree,
  NodeTree,
  Place,
} from './contract.ts';
export type { FileEdit, Owned } from './file-edit.ts';
export { fileTree, isWithin, join, nameOf, parentOf } from './file-tree.ts';
export { entriesIn, insideOf, JoinedTree, type Part } from './joined-tree.ts';
export { bytesOfName, nameOfBytes, printable } from './name-bytes.ts';
export { type PlannedState, PlannedTree } from './planned-tree.ts';
export { type Rename, RenamedImageTree, RenamedTree } from './renamed-tree.ts';
export { readText, TEXT_BYTES_MAX, type TextFile, textOf } from './text-file.ts';
