// Session keyrings (keyrings(7)): what is started inherits that of whoever starts it, with all keys that are linked
// there.
import { lastError, libc } from './libc.ts';

const KEYCTL = process.arch === 'arm64' ? 219 : 250;
/** keyctl_join_session_keyring(3) without a name: one that nobody else has. */
const JOIN_SESSION_KEYRING = 1;

/** The calling thread, and what it starts from now on, has an empty session keyring. @throws SystemError */
export function ownSessionKeyring(): void {
  if (libc.syscall(KEYCTL, JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0) < 0) throw lastError('keyctl');
}
