export type { PackageDatabase } from './contract.ts';
export { isKnownPackage } from './known-packages.ts';
export { isPackaged, ownerOf, packagesOf } from './packages.ts';
