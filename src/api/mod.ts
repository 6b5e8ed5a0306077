export { type ApiAddress, readAddress } from './address.ts';
export type { StatusAnswer } from './answers.ts';
export { type Api, type ApiOptions, createApi } from './api.ts';
export { type Client, type ClientOptions, type ClientTls, createClient } from './client.ts';
export { readTokens, tokenForClient } from './tokens.ts';
