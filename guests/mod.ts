export { Lan, type LanHost, type LanOptions, onLan } from './lan.ts';
