export type { PackageDatabase } from './contract.ts';
export { isPackaged, ownerOf, packagesOf } from './packages.ts';
