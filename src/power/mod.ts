export type { PowerDriver, PowerState } from './contract.ts';
export { FakePower, type FakePowerOptions, type Fault } from './fake/driver.ts';
export { IpmiPower, type IpmiPowerOptions } from './ipmi/driver.ts';
export { type IpmiSettings, type IpmiSettingsInput, ipmiSettings } from './ipmi/settings.ts';
export { type Accelerator, findAccelerator } from './qemu/accelerator.ts';
export { type Machine, machineArguments } from './qemu/command.ts';
export { type DiskStatistics, QemuPower, type QemuPowerOptions } from './qemu/driver.ts';
export { type QemuSettings, type QemuSettingsInput, qemuSettings } from './qemu/settings.ts';
export { type ReadBackOptions, readBackOff } from './read-back.ts';
