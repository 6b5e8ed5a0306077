// What policy is told of a service, as the controller knows it.
import type { ServiceConfig } from '../config/mod.ts';
import type { ServiceFacts } from '../policy/mod.ts';
import type { Condition } from './components.ts';
import type { Holds } from './holds.ts';
import type { Engagement } from './record.ts';

export interface ControllerFacts extends ServiceFacts {
  readonly service: ServiceConfig;
  readonly engagements: readonly Engagement[];
  /** What people have said must not happen by itself. */
  readonly holds: Holds;
  /** How the director of the service does; null: it was not asked yet. */
  readonly director: Condition | null;
}
