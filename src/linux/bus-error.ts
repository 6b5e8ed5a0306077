// A shared mapping whose file was cut short: the kernel sends SIGBUS to whoever touches what is gone (mmap(2)), and its default
// ends the process without a word. Instead, zeros of our own take the place of the page that is gone, and a count tells that it
// happened; whoever uses the mapping looks at the count and fails by name.
//
// A signal handler runs between any two instructions, so it cannot be JavaScript. It is a few instructions of machine code
// (sigaction(2), SA_SIGINFO):
//
//   if (info->si_code != BUS_ADRERR) goto other;
//   if (mmap(info->si_addr & ~4095, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) < 0) goto other;
//   atomic_increment(&count); return;
//   other: sigaction(SIGBUS, default); return;   // and the signal comes again
//
// On x86-64. On other processors the process still ends.
import koffi from 'koffi';
import { lastError, libc } from './libc.ts';

const SIGBUS = 7;
const SA_SIGINFO = 4;
/** struct sigaction of glibc on 64-bit Linux: handler, mask (128 bytes), flags, restorer. */
const ACTION_BYTES = 152;
const FLAGS_AT = 136;
const PAGE_BYTES = 4096;
const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** By which the threads of one process know the page of the first. */
const MARK = 0x5355_4255_5352_444en;
const COUNT_AT = 8;

let count: Int32Array | null = null;

/** Pages that were gone when this process touched them, since `watchBusErrors`; 0 where that is not known. */
export function busErrors(): number {
  return count === null ? 0 : Atomics.load(count, 0);
}

/** Installs the handler, once a process; call before another thread could. Idempotent. */
export function watchBusErrors(): void {
  if (count !== null || process.arch !== 'x64') return;
  const data = inheritedPage() ?? install();
  count = new Int32Array(koffi.view(data + BigInt(COUNT_AT), 8), 0, 1);
}

/** The page of a handler that another thread of this process has installed: its data lie one page behind its code. */
function inheritedPage(): bigint | null {
  const now = new Uint8Array(ACTION_BYTES);
  if (libc.sigaction(SIGBUS, null, now) !== 0) throw lastError('sigaction');
  const handler = new DataView(now.buffer).getBigUint64(0, true);
  // SIG_DFL, SIG_IGN.
  if (handler < 2n || handler % BigInt(PAGE_BYTES) !== 0n) return null;
  const data = handler + BigInt(PAGE_BYTES);
  const [mark] = new BigUint64Array(koffi.view(data, 8));
  return mark === MARK ? data : null;
}

function install(): bigint {
  const code = libc.mmap(null, 2 * PAGE_BYTES, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (code === MAP_FAILED) throw lastError('mmap');
  const data = code + BigInt(PAGE_BYTES);
  new Uint8Array(koffi.view(code, PAGE_BYTES)).set(handlerCode(data + BigInt(COUNT_AT), data + 64n));
  new BigUint64Array(koffi.view(data, 8))[0] = MARK;
  if (libc.mprotect(code, PAGE_BYTES, PROT_READ_EXEC) !== 0) throw lastError('mprotect');
  const action = new Uint8Array(ACTION_BYTES);
  const view = new DataView(action.buffer);
  view.setBigUint64(0, code, true);
  view.setInt32(FLAGS_AT, SA_SIGINFO, true);
  if (libc.sigaction(SIGBUS, action, null) !== 0) throw lastError('sigaction');
  return data;
}

/** @param defaultAt zeros, which as a struct sigaction of the kernel mean the default */
function handlerCode(countAt: bigint, defaultAt: bigint): Uint8Array {
  const wide = (value: bigint): number[] => [...new Uint8Array(BigUint64Array.of(value).buffer)];
  const other = [
    ...[0xbf, 0x07, 0x00, 0x00, 0x00], // mov edi, SIGBUS
    ...[0x48, 0xbe, ...wide(defaultAt)], // mov rsi, default
    ...[0x31, 0xd2], // xor edx, edx
    ...[0x41, 0xba, 0x08, 0x00, 0x00, 0x00], // mov r10d, 8 (size of the mask)
    ...[0xb8, 0x0d, 0x00, 0x00, 0x00], // mov eax, rt_sigaction
    ...[0x0f, 0x05], // syscall
    0xc3, // ret
  ];
  const counted = [
    ...[0x48, 0xb9, ...wide(countAt)], // mov rcx, count
    ...[0xf0, 0xff, 0x01], // lock inc dword [rcx]
    0xc3, // ret
  ];
  const mapped = [
    ...[0x48, 0x8b, 0x7e, 0x10], // mov rdi, [rsi + 16] (si_addr)
    ...[0x48, 0x81, 0xe7, 0x00, 0xf0, 0xff, 0xff], // and rdi, -4096
    ...[0xbe, 0x00, 0x10, 0x00, 0x00], // mov esi, 4096
    ...[0xba, 0x03, 0x00, 0x00, 0x00], // mov edx, PROT_READ | PROT_WRITE
    ...[0x41, 0xba, 0x32, 0x00, 0x00, 0x00], // mov r10d, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    ...[0x49, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff], // mov r8, -1
    ...[0x4d, 0x31, 0xc9], // xor r9, r9
    ...[0xb8, 0x09, 0x00, 0x00, 0x00], // mov eax, mmap
    ...[0x0f, 0x05], // syscall
    ...[0x48, 0x85, 0xc0], // test rax, rax
    ...[0x78, counted.length], // js other
  ];
  const judged = [
    ...[0x83, 0x7e, 0x08, 0x02], // cmp dword [rsi + 8] (si_code), BUS_ADRERR
    ...[0x75, mapped.length + counted.length], // jne other
  ];
  return Uint8Array.of(...judged, ...mapped, ...counted, ...other);
}
