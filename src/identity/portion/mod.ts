export { remainingOf } from './give.ts';
export { mapOwners } from './owners.ts';
export { type Item, type Portion, takePortion } from './take.ts';
