// Who asks. Whatever can prove a name (tokens, certificates) is a source of identities; the rest of the interface knows
// identities only.
import type { IncomingMessage } from 'node:http';

/** An operator may do what a viewer may. An agent may report for its own host and nothing else. */
export type Role = 'viewer' | 'operator' | 'agent';

export interface Identity {
  /** Of the person; of the host for an agent. */
  readonly name: string;
  /** What proved it. */
  readonly kind: 'token' | 'certificate';
  readonly role: Role;
  /** An operator's orders are limited to these; null: to nothing. */
  readonly services: readonly string[] | null;
}

export interface Refusal {
  /** Why, for the caller. */
  readonly refusal: string;
  /** Whose it would have been, for the audit; null: not known. */
  readonly who: string | null;
}

export interface IdentitySource {
  /** null: the request brings nothing that this source could judge. It never throws and never waits. */
  authenticate(request: IncomingMessage): Identity | Refusal | null;
}

export function isIdentity(answer: Identity | Refusal): answer is Identity {
  return 'role' in answer;
}

/** By the first source that finds something to judge; a refusal is final. */
export function authenticate(sources: readonly IdentitySource[], request: IncomingMessage): Identity | Refusal {
  for (const source of sources) {
    const answer = source.authenticate(request);
    if (answer !== null) return answer;
  }
  return { refusal: 'a token or a certificate is needed', who: null };
}
