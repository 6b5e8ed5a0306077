export { declaredRules } from './rules.ts';
