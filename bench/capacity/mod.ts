export { capacity } from './capacity.ts';
