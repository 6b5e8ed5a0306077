// Filters of system calls (seccomp(2)), made by libseccomp(3) as the kernel's programs, for bwrap(1) and its --seccomp.
import { closeSync, readSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { UnderstudyError } from '../base/mod.ts';
import { createPipe } from './file.ts';
import { SystemError } from './libc.ts';

const ALLOW = 0x7fff0000;
const ERRNO = 0x00050000;
/** enum scmp_compare of seccomp.h. */
const COMPARE = { equal: 4, greater: 6 } as const;
/** SCMP_ARCH_X86: programs of 32 bits, which an image for x86-64 may have. */
const ARCH_X86 = 0x40000003;
/** struct scmp_arg_cmp: two integers of 32 bits, two of 64. */
const CONDITION_BYTES = 24;
/** The kernel takes 4096 instructions of 8 bytes. */
const FILTER_BYTES_MAX = 4096 * 8;

/** One argument of a call, compared with a number. */
export interface CallCondition {
  readonly argument: number;
  readonly is: keyof typeof COMPARE;
  readonly value: number;
}

/** A system call that is answered with an error instead of being made. */
export interface RefusedCall {
  readonly name: string;
  readonly error: 'EPERM' | 'ENOSYS' | 'EAFNOSUPPORT';
  /** Absent: always. */
  readonly when?: CallCondition;
}

type Context = bigint;

interface Library {
  readonly init: (action: number) => Context | null;
  readonly addArchitecture: (context: Context, architecture: number) => number;
  readonly resolve: (name: string) => number;
  readonly addRule: (
    context: Context,
    action: number,
    call: number,
    count: number,
    conditions: Uint8Array | null,
  ) => number;
  readonly exportBpf: (context: Context, fd: number) => number;
  readonly release: (context: Context) => void;
}

/** @throws TOOL_MISSING */
function load(): Library {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load('libseccomp.so.2');
  } catch (cause) {
    const message = 'libseccomp.so.2 cannot be loaded; on Debian: apt-get install libseccomp2';
    throw new UnderstudyError('TOOL_MISSING', message, { cause });
  }
  return {
    init: library.func('void* seccomp_init(uint32_t)') as Library['init'],
    addArchitecture: library.func('int seccomp_arch_add(void*, uint32_t)') as Library['addArchitecture'],
    resolve: library.func('int seccomp_syscall_resolve_name(const char*)') as Library['resolve'],
    addRule: library.func(
      'int seccomp_rule_add_array(void*, uint32_t, int, unsigned int, void*)',
    ) as Library['addRule'],
    exportBpf: library.func('int seccomp_export_bpf(void*, int)') as Library['exportBpf'],
    release: library.func('void seccomp_release(void*)') as Library['release'],
  };
}

/**
 * The program of a filter that lets every call pass but those. Calls that this libseccomp does not know are left out.
 * @throws TOOL_MISSING; SystemError when libseccomp refuses a rule
 */
export function seccompFilter(refused: readonly RefusedCall[]): Buffer {
  const library = load();
  const context = library.init(ALLOW);
  if (context === null) throw new SystemError('seccomp_init', constants.errno.ENOMEM);
  try {
    if (process.arch === 'x64') check('seccomp_arch_add', library.addArchitecture(context, ARCH_X86));
    for (const { name, error, when } of refused) {
      const call = library.resolve(name);
      if (call === -1) continue;
      const action = ERRNO | constants.errno[error];
      const conditions = when === undefined ? null : conditionOf(when);
      check(`a rule for ${name}`, library.addRule(context, action, call, conditions === null ? 0 : 1, conditions));
    }
    return exported(library, context);
  } finally {
    library.release(context);
  }
}

function conditionOf({ argument, is, value }: CallCondition): Uint8Array {
  const bytes = new Uint8Array(CONDITION_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, argument, true);
  view.setUint32(4, COMPARE[is], true);
  view.setBigUint64(8, BigInt(value), true);
  return bytes;
}

/** A pipe takes more than the longest filter. */
function exported(library: Library, context: Context): Buffer {
  const { readFd, writeFd } = createPipe();
  try {
    try {
      check('seccomp_export_bpf', library.exportBpf(context, writeFd));
    } finally {
      closeSync(writeFd);
    }
    const bytes = Buffer.alloc(FILTER_BYTES_MAX);
    let length = 0;
    for (;;) {
      const count = readSync(readFd, bytes, length, bytes.length - length, null);
      if (count === 0) return bytes.subarray(0, length);
      length += count;
    }
  } finally {
    closeSync(readFd);
  }
}

function check(call: string, result: number): void {
  if (result < 0) throw new SystemError(call, -result);
}
