// A process of its own that drives virtual machines, as a controller does that may be killed at any moment. Its arguments: folder,
// host, `on` or `off`, and settings as JSON. It says "done" or the code of the error, then stays until it is killed.
import { memoryEpochGate } from '../../src/base/mod.ts';
import { QemuPower, qemuSettings } from '../../src/power/mod.ts';

const [folder = '', host = '', what = '', settings = ''] = process.argv.slice(2);
const power = new QemuPower({
  hosts: new Map([[host, qemuSettings.parse(JSON.parse(settings))]]),
  folder,
  gate: memoryEpochGate(),
  diskOf: async () => null,
});
const call = { epoch: 1, signal: new AbortController().signal };
await (what === 'on' ? power.on(host, call) : power.off(host, call)).then(
  () => process.send?.('done'),
  (error: unknown) => process.send?.(String(error)),
);
