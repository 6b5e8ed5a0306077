export { BOOT_SECTOR_BYTES, type BootSector, parseBootSector } from './boot-sector.ts';
export { FatTree } from './fat-tree.ts';
export { openFat } from './open-fat.ts';
