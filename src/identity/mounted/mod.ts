export { editMounted } from './edit-mounted.ts';
export { KernelMount, type Mountable, type MountType } from './kernel-mount.ts';
export { MountedTree } from './mounted-tree.ts';
export { type InsideCommand, runInside } from './run-inside.ts';
