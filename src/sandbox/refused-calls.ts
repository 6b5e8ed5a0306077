// System calls that nothing needs which reads an image or runs in one, and that have been ways into the kernel or out
// of a sandbox.
import { type RefusedCall, seccompFilter } from '../linux/mod.ts';

const NEVER = [
  // Keys of whoever started us.
  ...['keyctl', 'add_key', 'request_key'],
  // Other processes.
  ...['ptrace', 'process_vm_readv', 'process_vm_writev', 'pidfd_getfd', 'kcmp', 'process_madvise'],
  // The kernel itself, and what watches all of it.
  ...['bpf', 'perf_event_open', 'userfaultfd', 'lookup_dcookie', 'syslog', 'fanotify_init', 'quotactl', 'quotactl_fd'],
  ...['kexec_load', 'kexec_file_load', 'init_module', 'finit_module', 'delete_module', 'reboot', 'swapon', 'swapoff'],
  ...[
    'acct',
    'settimeofday',
    'clock_settime',
    'adjtimex',
    'clock_adjtime',
    'stime',
    'iopl',
    'ioperm',
    'vm86',
    'vm86old',
  ],
  ...['uselib', 'nfsservctl', 'move_pages', 'migrate_pages', 'modify_ldt', 'vhangup'],
  // Files by numbers instead of names, past what a mount shows.
  ...['open_by_handle_at', 'name_to_handle_at'],
];

/** Programs do without when they are told that the kernel does not have them. */
const ABSENT = [
  ...['io_uring_setup', 'io_uring_enter', 'io_uring_register'],
  // Its flags lie in memory, where no filter looks.
  'clone3',
  // Of old: which family a socket is to have lies in memory.
  'socketcall',
];
/** The newer way to mount, which the programs that mount for us do not take. */
const NEW_MOUNTS = ['fsopen', 'fsconfig', 'fsmount', 'fspick', 'open_tree', 'move_mount', 'mount_setattr'];
const NAMESPACES = ['mount', 'umount', 'umount2', 'pivot_root', 'unshare', 'setns'];

/**
 * Kinds of sockets by number (socket(2)): only those of one machine (1), IPv4 (2), IPv6 (10) and netlink (16) are left.
 */
const FAMILIES_REFUSED = [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15];
const FAMILY_LAST = 16;
/** TIOCSTI and TIOCLINUX put words into the terminal of somebody else. */
const TERMINAL_REQUESTS = [0x5412, 0x541c];

function always(names: readonly string[], error: RefusedCall['error']): RefusedCall[] {
  return names.map((name) => ({ name, error }));
}

const common: readonly RefusedCall[] = [
  ...always(NEVER, 'EPERM'),
  ...always([...ABSENT, ...NEW_MOUNTS], 'ENOSYS'),
  ...FAMILIES_REFUSED.map(
    (value): RefusedCall => ({
      name: 'socket',
      error: 'EAFNOSUPPORT',
      when: { argument: 0, is: 'equal', value },
    }),
  ),
  { name: 'socket', error: 'EAFNOSUPPORT', when: { argument: 0, is: 'greater', value: FAMILY_LAST } },
  ...TERMINAL_REQUESTS.map(
    (value): RefusedCall => ({
      name: 'ioctl',
      error: 'EPERM',
      when: { argument: 1, is: 'equal', value },
    }),
  ),
];

const filters = new Map<'reader' | 'program', Buffer>();

/**
 * The filter of a sandbox, for bwrap's --seccomp. 'reader': of our own process that reads an image, whose helpers mount
 * what they show; 'program': of a program of the image, which has no business with namespaces.
 * @throws TOOL_MISSING
 */
export function filterOf(kind: 'reader' | 'program'): Buffer {
  const made = filters.get(kind);
  if (made !== undefined) return made;
  const filter = seccompFilter([...common, ...(kind === 'program' ? always(NAMESPACES, 'EPERM') : [])]);
  filters.set(kind, filter);
  return filter;
}
