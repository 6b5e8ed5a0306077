export { cardsNamedByUdev } from './nic-names.ts';
export { declaredRules } from './rules.ts';
