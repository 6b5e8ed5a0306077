// The drivers that an installation can name, and what each wants to know.
import type { DriverSchemas } from '../src/config/mod.ts';
import { haproxySettings } from '../src/director/mod.ts';
import { ipmiSettings, qemuSettings } from '../src/power/mod.ts';

export const driverSchemas: DriverSchemas = {
  power: { ipmi: ipmiSettings, qemu: qemuSettings },
  director: { haproxy: haproxySettings },
};
