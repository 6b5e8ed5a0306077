// Whether KVM really runs guests here, found out by running one. /dev/kvm may be there, may be opened, and may still not run
// a guest: nested virtualization that is emulated hangs as soon as the guest turns paging on.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, runTool } from '../../base/mod.ts';

export type Accelerator = 'kvm' | 'tcg';

/** With KVM that works the machine ends within a tenth of a second; the rest is for a busy computer. */
const PROBE_TIMEOUT_MS = 5000;
const FIRMWARE_BYTES = 65_536;
/** The machine writes 0x10 to the port of isa-debug-exit, which ends QEMU with status 2 * 0x10 + 1. */
const ALIVE_STATUS = 33;

/**
 * The last page of the machine's firmware, up to its zeros. The processor starts at its byte 0xff0 (RESET), which jumps to byte 0.
 *
 *   16 bit  cli; lgdt 0xf0c0; cr0 |= PE; jump to
 *   32 bit  zero 0x1000-0x3fff; map the first and the last 2 MiB of 4 GiB to themselves (0x1000 PML4, 0x2000 PDPT, 0x3000 PD);
 *           cr3 = 0x1000; cr4 = PAE; EFER |= LME; cr0 |= PG; jump to
 *   64 bit  ecx = 2^27; do ecx -= 1 until it is 0; out 0xf4, 0x10; hlt
 *   data    GDT: null, code 32, data, code 64; its descriptor at 0xc0
 */
const PROGRAM = [
  ...['fa2e660f0116c0f00f20c00c010f22c0', '66ea18f0ffff0800b8100000008ed88e', 'c031c0bf00100000b9000c0000fcf3ab'],
  ...['c7050010000003200000c70500200000', '03300000c7051820000003300000c705', '0030000083000000c705f83f00008300'],
  ...['e0ffb8001000000f22d8b8200000000f', '22e0b9800000c00f320d000100000f30', '0f20c00d000000800f22c0ea92f0ffff'],
  ...['1800b900000008ffc975fcb010e6f4f4', '0000000000000000ffff0000009acf00', 'ffff00000092cf00ffff0000009aaf00'],
  '1f00a0f0ffff',
].join('');
const RESET = 'e90df0';

function firmware(): Buffer {
  const bytes = Buffer.alloc(FIRMWARE_BYTES);
  bytes.write(PROGRAM, FIRMWARE_BYTES - 0x1000, 'hex');
  bytes.write(RESET, FIRMWARE_BYTES - 0x10, 'hex');
  return bytes;
}

/** Runs the small machine. Any end but its own, the time-out too, means no. */
export async function runsGuests(qemu: string, accelerator: Accelerator, folder: string): Promise<boolean> {
  const work = mkdtempSync(join(folder, 'probe-'));
  try {
    const path = join(work, 'firmware');
    writeFileSync(path, firmware());
    const machine = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-m', '4', '-bios', path];
    const exit = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'];
    const done = await runTool(qemu, ['-accel', accelerator, ...machine, ...exit], { timeoutMs: PROBE_TIMEOUT_MS });
    return done.status === ALIVE_STATUS;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function readAnswer(path: string): { readonly computer: string; readonly accelerator: string } | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    // Not asked yet, or not readable as an answer: then it is asked again.
    if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** KVM if it runs guests, else emulation. The answer is kept in the folder for this boot of the computer and this QEMU. */
export async function findAccelerator(qemu: string, folder: string): Promise<Accelerator> {
  const { stdout: version } = await runTool(qemu, ['--version']);
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  const computer = createHash('sha256').update(`${boot}${version}`).digest('hex');
  const path = join(folder, 'accelerator.json');
  const known = readAnswer(path);
  if (known?.computer === computer && (known.accelerator === 'kvm' || known.accelerator === 'tcg')) {
    return known.accelerator;
  }
  mkdirSync(folder, { recursive: true });
  const accelerator = (await runsGuests(qemu, 'kvm', folder)) ? 'kvm' : 'tcg';
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, JSON.stringify({ computer, accelerator }));
  renameSync(fresh, path);
  return accelerator;
}
