export { type ApiAddress, readAddress } from './address.ts';
export type { ReloadView, StatusAnswer } from './answers.ts';
export { type Api, type ApiOptions, createApi } from './api.ts';
export { type Client, type ClientOptions, type ClientTls, createClient } from './client.ts';
export { describeInterface, describeMetrics } from './describe.ts';
export type { MetricDefinition } from './exposition.ts';
export { changeTokens, readSecret } from './token-file.ts';
export {
  digestOf,
  formatLine,
  isName,
  LOCAL_NAME,
  makeToken,
  parseLine,
  parseTokens,
  type TokenLine,
} from './token-lines.ts';
export { readAgentToken, readTokens, type TokenBook, tokenForClient } from './tokens.ts';
