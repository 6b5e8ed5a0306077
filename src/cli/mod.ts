export { type Loaders, main } from './main.ts';
export {
  type Ask,
  type BackedUp,
  type BackUpState,
  type Check,
  type Examine,
  type Recover,
  type Recovered,
  type RecoverOptions,
  type RestoreState,
  remedyOfRecord,
  type Serve,
  serviceCommands,
} from './service/mod.ts';
