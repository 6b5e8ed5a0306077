// What a host looks like from the network: the proof that an understudy is who it should be, and alone with its address.
import type { Call } from '../base/mod.ts';

/** What users of the service do, done once. */
export interface ServiceCheck {
  /** "http": GET of the path, any 2xx or 3xx is an answer. "tcp": a connection is one. */
  readonly kind: 'http' | 'tcp';
  readonly port: number;
  /** @default "/" */
  readonly path?: string;
  /** The body must contain it. http only. */
  readonly contains?: string;
  /** 100 to 60000. @default 5000 */
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly ok: boolean;
  /** One line of evidence for people: "200 OK, 5120 bytes" or "connection refused". */
  readonly detail: string;
  readonly milliseconds: number;
}

/**
 * Looks from where the process is: its network namespace, its links. Addresses are IP addresses, never names.
 * @throws NETWORK_FAILED when it cannot look (no such link, no right, out of sockets), TOOL_MISSING, INTERRUPTED. What it sees is
 * an answer, not an error.
 */
export interface NetworkProbe {
  /**
   * Hardware addresses (lower case, colons) of all who answer an ARP probe for an IPv4 address on a link (RFC 5227, sender
   * address 0.0.0.0), looked for for about two seconds; sorted. Nobody: []. Two or more: a duplicate address. This machine
   * counts too, if it has the address.
   */
  holders(link: string, address: string, call: Call): Promise<readonly string[]>;
  /** At most one MiB of a body is read. A redirection is an answer and not followed. */
  check(address: string, check: ServiceCheck, call: Call): Promise<Answer>;
  /** Fingerprints ("SHA256:...") of the SSH host keys shown at address:port, sorted; [] when nobody answers. */
  sshHostKeys(address: string, port: number, call: Call): Promise<readonly string[]>;
}
