export { gatewayArguments, TLS_PRIORITY } from './command.ts';
export {
  type GatewayCertificates,
  type GatewayMemory,
  type GatewayRecord,
  type GatewayTls,
  isInsecure,
  isWildcard,
  type Listen,
} from './contract.ts';
export { type AttachedVolume, endGateways, Gateways } from './gateways.ts';
