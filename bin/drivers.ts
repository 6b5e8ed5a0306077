// The drivers that an installation can name, and what each wants to know.
import type { DriverSchemas } from '../src/config/mod.ts';
import { haproxySettings } from '../src/director/mod.ts';

export const driverSchemas: DriverSchemas = {
  power: {},
  director: { haproxy: haproxySettings },
};
