export { isCommon, programsOfShell, runsOf, scriptsOf, uncommented } from './commands.ts';
export type { Cause, Start, StartGraph, Way } from './contract.ts';
export { CRON_TABLES, type CronJob, cronJobsIn, isCronName, isCronTable, isStrictCron } from './cron.ts';
export { startGraph } from './graph.ts';
export { knownToSystem } from './known.ts';
export { isPackaged, ownerOf, type PackageDatabase, packagesOf } from './packages/mod.ts';
export { NEVER, programsOfUnit } from './systemd/mod.ts';
