export {
  addExport,
  addNode,
  type ExportInfo,
  type NodeInfo,
  type NodeOptions,
  QMP_TIMEOUTS,
  queryExports,
  queryNodes,
  quit,
  removeExport,
  removeNode,
  reopenNode,
  type ServerAddress,
  startServer,
  stopServer,
  writtenEnd,
} from './commands.ts';
export { QmpConnection, type QmpOptions, refusalOf } from './connection.ts';
