// What policy is told of a service, as the controller knows it.
import type { ServiceConfig } from '../config/mod.ts';
import type { ServiceFacts } from '../policy/mod.ts';
import type { Engagement } from './record.ts';

export interface ControllerFacts extends ServiceFacts {
  readonly service: ServiceConfig;
  readonly engagements: readonly Engagement[];
}
