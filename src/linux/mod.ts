export { type AioCompletion, AioContext, type AioRequest } from './aio.ts';
export { ArpSocket } from './arp-socket.ts';
export { busErrors, watchBusErrors } from './bus-error.ts';
export { Digester, digestOf } from './digest.ts';
export { attributesOf, type FileAttribute, removeAttribute, setAttribute } from './extended-attribute.ts';
export {
  adviseDontNeed,
  adviseSequential,
  adviseWillNeed,
  blockDeviceBytes,
  blockDeviceReadOnly,
  blockDeviceSectorBytes,
  closeOnExec,
  createPipe,
  readAt,
  readPipe,
  rereadPartitionTable,
  reserveSpace,
  seekData,
  seekHole,
  waitReadable,
  writeAt,
  writeBack,
  zeroRange,
} from './file.ts';
export { futexWait, futexWakeAll } from './futex.ts';
export { ownSessionKeyring } from './keyring.ts';
export { SystemError } from './libc.ts';
export { LibnbdError, type NbdCompletion, type NbdExport, type NbdExtentSink, NbdHandle } from './libnbd.ts';
export { isLockedByOther, tryLock, tryLockShared, unlock } from './lock.ts';
export {
  addressOf,
  allocatePages,
  type Collapse,
  collapsePages,
  discardPages,
  hasAddress,
  type Mapping,
  mapShared,
} from './mapping.ts';
export { killProcess } from './process.ts';
export { renameNoReplace } from './rename.ts';
export { type CallCondition, type RefusedCall, seccompFilter } from './seccomp.ts';
export { listenTcp, type TcpAddress } from './tcp-listener.ts';
