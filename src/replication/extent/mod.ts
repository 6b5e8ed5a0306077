export { resolveIsolated } from './isolated.ts';
export { type LocalView, type LocalViewOptions, withLocalView } from './local-view.ts';
export { type PartitionTable, readPartitionTable } from './partition-table.ts';
export { type ByteRange, mergeRanges } from './ranges.ts';
export { type CopyExtent, type ExtentRequest, resolveExtent } from './resolve.ts';
